import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { checkChoices, detectionDefaults } from "../../evaluation/detection-settings.ts";
import { countImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { checkDetectionLabels, parseExample } from "../../tasks/detection/class-prompts.ts";
import type { DetectedPicture } from "../../tasks/detection/detection.ts";
import type { FlorenceModel } from "../../zoo/florence-model.ts";
import { BatchReport } from "../batch-report.ts";
import {
  addDetectorOption,
  addJsonOption,
  addModelOption,
  addNamingOption,
  addPrecisionOption,
  collect,
  type DetectorOption,
  defineCommand,
  integerBetween,
  type JsonOption,
  type ModelOption,
  type NamingOption,
  numberBetween,
  type PrecisionOption,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { Drawings, requireOtherFolder } from "../drawings.ts";

interface DetectCommandOptions extends ModelOption, DetectorOption, PrecisionOption, NamingOption, JsonOption {
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly like?: readonly string[];
  readonly background?: string;
  readonly scoreThreshold: number;
  readonly maxDetections: number;
  readonly nmsThreshold: number;
  readonly proposals: number;
  readonly margin: number;
  readonly objectnessWeight: number;
  readonly draw?: string;
}

/** `florence detect`: where in each picture the things are that are asked for. */
export const detectCommand = defineCommand<[string[]], DetectCommandOptions>({
  name: "detect",
  summary: "Find things in pictures, with a box around each",
  details: `Labels are plain words or phrases. A detector of any objects proposes boxes, and the image–text model names each from
its crop (--method crops) or, in one run over the picture, from its own map of it (--method regions); a detector with classes of its own names them by itself (--method head), and labels choose
among its classes, or, where its classes are texts, are whatever you like. Boxes are left, top, right, bottom in pixels
of the picture as it is shown.`,
  examples: [
    {
      line: 'florence detect photo.jpg --labels "cat,dog,bicycle"',
      does: "boxes of three kinds of things",
    },
    {
      line: 'florence detect photos/ --labels "pothole" --draw found --json > found.jsonl',
      does: "a folder, as JSON lines and as pictures with the boxes drawn",
    },
    {
      line: "florence detect photos/ --detector runs/fish/model",
      does: "by a detector of your own: all of its classes",
    },
    {
      line: 'florence detect photos/ --like "mug=mug.jpg:120,80,360,340" --like mug=other-mug.jpg',
      does: "more like two examples, the first a box of a picture",
    },
    {
      line: 'florence detect photos/ --labels "cat,dog" --model openai/clip-vit-base-patch32',
      does: "boxes named by another image–text model",
    },
  ],
  configure(command: Command) {
    command.argument("<path...>", "picture files and folders");
    command.option("-l, --labels <list>", "what to look for, separated by commas");
    command.option("--labels-file <file>", "what to look for, one a line");
    command.option(
      "--like <[label=]picture[:x0,y0,x1,y1]>",
      "an example of what to look for, or a box of one; may be given several times",
      collect,
    );
    addDetectorOption(command);
    addNamingOption(command);
    command.option(
      "--background <list>",
      "texts for what is none of the labels: boxes that look most like one are dropped; crops and regions only",
      detectionDefaults.backgrounds.join(","),
    );
    const { scoreThreshold, maxDetections, nmsThreshold, proposals, margin, objectnessWeight } = detectionDefaults;
    command.option("--score-threshold <n>", "least score of a box", numberBetween(0, 1), scoreThreshold);
    command.option("--max-detections <count>", "boxes of a picture", integerBetween(1, 1000), maxDetections);
    command.option(
      "--nms-threshold <iou>",
      "of two boxes of one label that overlap by more, the worse goes",
      numberBetween(0, 1),
      nmsThreshold,
    );
    command.option(
      "--proposals <count>",
      "boxes of a picture that the image–text model names",
      integerBetween(1, 1000),
      proposals,
    );
    command.option(
      "--margin <share>",
      "around crops and regions, of the box's longer side",
      numberBetween(0, 2),
      margin,
    );
    command.option(
      "--objectness-weight <a>",
      "the score of crops and regions is objectness^a · probability^(1 − a)",
      numberBetween(0, 1),
      objectnessWeight,
    );
    command.option(
      "--draw <dir>",
      "write the pictures with their boxes there, as .jpg; not among the pictures themselves",
    );
    addJsonOption(addPrecisionOption(addModelOption(command)));
  },

  async run(context, [paths], options) {
    const { signal } = context;
    const examples = options.like?.map(parseExample);
    const labels = await readLabels(options);
    const backgrounds = splitList(options.background);
    const { precision, method } = options;
    if (options.draw !== undefined) await requireOtherFolder(options.draw, paths, signal);
    // Loaded here, so that --help does not wait for the engine.
    const { loadDetector } = await import("../../zoo/load-detector.ts");
    const { openDetection } = await import("../../evaluation/open-detection.ts");
    const { detectFiles } = await import("../../tasks/detection/detection.ts");
    const detector = await loadDetector(await context.modelFolder(options.detector), { precision, signal });
    const report = new BatchReport(context, "detect", Boolean(options.json), countImageFiles(paths, { signal }));
    let model: FlorenceModel | undefined;
    try {
      checkChoices(detector.name, detector.classes, { labels, method, examples });
      const detection = await openDetection({
        ...options,
        ...{
          detector,
          labels,
          examples,
          backgrounds,
          cacheFolder: context.cacheFolder,
          signal,
          onWarning: context.log,
        },
        loadModel: async () => {
          // Text heads know the model's embeddings as they are in float32.
          const textPrecision = detector.classes.kind === "text" ? "float32" : precision;
          model = await context.loadModel(options.model, { precision: textPrecision, signal });
          return model;
        },
      });
      if (options.json) await context.print(JSON.stringify({ settings: detection.settings }));
      const drawings = options.draw === undefined ? undefined : new Drawings(options.draw, detection.settings.labels);
      const keepsOriginal = detection.keepsOriginal || drawings !== undefined;
      for await (const result of detectFiles(paths, { ...detection, keepsOriginal, signal })) {
        if ("error" in result) {
          await report.fail(result);
          continue;
        }
        await drawings?.draw(result);
        await report.succeed(options.json ? jsonOf(result) : describe(result, context));
      }
      return report.finish();
    } finally {
      report.stop();
      await model?.dispose();
      await detector.dispose();
    }
  },
});

function jsonOf({ path, width, height, detections }: DetectedPicture): string {
  const told = detections.map(({ box, label, score }) => ({
    box: box.map(hundredths),
    label,
    score: millionths(score),
  }));
  return JSON.stringify({ path, width, height, detections: told });
}

const hundredths = (value: number): number => Math.round(value * 100) / 100;
const millionths = (value: number): number => Math.round(value * 1e6) / 1e6;

function describe({ path, detections }: DetectedPicture, { colors }: CommandContext): string {
  if (detections.length === 0) return `${path}  nothing found`;
  const lines = detections.map(
    ({ label, score, box }) => `  ${colors.bold(label)} ${score.toFixed(2)}  [${box.map(Math.round).join(", ")}]`,
  );
  return [path, ...lines].join("\n");
}

async function readLabels({ labels, labelsFile }: DetectCommandOptions): Promise<string[] | undefined> {
  if (labels !== undefined && labelsFile !== undefined) {
    throw new UserError("bad-argument", "detect: --labels and --labels-file exclude each other. Give one of them.");
  }
  if (labels !== undefined) return checkDetectionLabels(labels.split(","));
  if (labelsFile === undefined) return undefined;
  const lines = (await readUtf8(labelsFile)).replace(/^\uFEFF/, "").split(/\r?\n/);
  return checkDetectionLabels(lines.filter((line) => line.trim() !== ""));
}

function splitList(list: string | undefined): string[] {
  return (list ?? "")
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "");
}
