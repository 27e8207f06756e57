import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { countImageFiles } from "../../io/file-walk.ts";
import { judge } from "../../tasks/calibration/calibration.ts";
import { readCalibration } from "../../tasks/calibration/calibration-file.ts";
import { type ClassifiedFile, classify } from "../../tasks/classification/classification.ts";
import { checkLabels, checkTemplates } from "../../tasks/classification/prompts.ts";
import { zeroShotClassifier } from "../../tasks/classification/zero-shot-classifier.ts";
import { BatchReport } from "../batch-report.ts";
import {
  addImageSizeOption,
  addJsonOption,
  addModelOption,
  addPrecisionOption,
  defineCommand,
  type ImageSizeOption,
  integerBetween,
  type JsonOption,
  type ModelOption,
  type PrecisionOption,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { addLabelOptions, type LabelOptions, readLabels, readTemplates } from "../label-options.ts";

interface ClassifyCommandOptions extends LabelOptions, ModelOption, ImageSizeOption, PrecisionOption, JsonOption {
  readonly top: number;
  readonly calibration?: string;
}

/** `florence classify`: which of the given labels a picture shows. */
export const classifyCommand = defineCommand<[string[]], ClassifyCommandOptions>({
  name: "classify",
  summary: "Tell which of your labels each picture shows",
  details: "Labels are plain words or phrases: nothing is trained. Folders are searched for pictures recursively.",
  examples: [
    { line: 'florence classify photo.jpg --labels "cat,dog,bicycle"', does: "choose among three labels" },
    { line: "florence classify photos/ --labels-file labels.txt --top 3", does: "a whole folder, labels one a line" },
    {
      line: 'florence classify photos/ --labels "indoors,outdoors" --json | head',
      does: "one JSON object a picture, for other programs",
    },
    {
      line: 'florence classify photos/ --labels "cat,dog" --calibration cats.json',
      does: "calibrated probabilities; pictures of neither are rejected",
    },
  ],
  configure(command: Command) {
    command.argument("<path...>", "picture files and folders");
    addLabelOptions(command);
    command.option("--top <count>", "how many labels to print for each picture", integerBetween(1, 10_000), 5);
    command.option("--calibration <file>", "a calibration made with this model, these labels and templates");
    addJsonOption(addPrecisionOption(addImageSizeOption(addModelOption(command))));
  },

  async run(context, [paths], options) {
    // Labels are checked before the model is loaded: a slip of the pen is answered at once.
    const labels = checkLabels(await givenLabels(options));
    const templates = checkTemplates(await readTemplates(options.templates));
    const { precision, imageSize } = options;
    const model = await context.loadModel(options.model, { precision, imageSize, signal: context.signal });
    const inputs = countImageFiles(paths, { signal: context.signal });
    const report = new BatchReport(context, "classify", Boolean(options.json), inputs);
    try {
      const { fingerprint, embedDim, scoring } = model;
      if (options.calibration !== undefined && scoring.kind === "sigmoid") {
        throw new UserError(
          "unsupported",
          `classify: --calibration is for models that choose among labels, got ${model.name}, which judges each by itself. Leave it out.`,
        );
      }
      const calibration =
        options.calibration === undefined
          ? undefined
          : await readCalibration(options.calibration, { fingerprint, embedDim, labels, templates });
      const texts = [...labels, ...(calibration?.backgrounds ?? [])];
      const classifier = await zeroShotClassifier(model, texts, templates, {
        cacheFolder: context.cacheFolder,
        signal: context.signal,
        onWarning: context.log,
      });
      const results = classify(paths, model, classifier, {
        top: options.top,
        signal: context.signal,
        ...(calibration ? { judge: (logits, embedding) => judge(calibration, { logits, embedding }) } : {}),
      });
      for await (const result of results) {
        if ("error" in result) await report.fail(result);
        else await report.succeed(options.json ? JSON.stringify(result) : describe(result, context));
      }
      return report.finish();
    } finally {
      report.stop();
      await model.dispose();
    }
  },
});

function describe({ path, predictions, rejected }: ClassifiedFile, { colors }: CommandContext): string {
  const parts = predictions.map(({ label, probability }, rank) => {
    const text = `${label} ${(100 * probability).toFixed(1)} %`;
    return rank === 0 ? colors.bold(text) : text;
  });
  return `${path}  ${rejected ? "none of these  " : ""}${parts.join("  ")}`;
}

async function givenLabels(options: ClassifyCommandOptions): Promise<readonly string[]> {
  const labels = await readLabels(options, "classify");
  if (labels) return labels;
  throw new UserError(
    "bad-argument",
    'classify: labels are needed, got none. Add --labels "cat,dog" or --labels-file.',
  );
}
