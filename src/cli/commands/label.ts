import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { join, resolve, sep } from "node:path";
import { type Command, Option } from "commander";
import { UserError } from "../../core/errors.ts";
import type { DetectionFormat } from "../../data/detection/detection-set.ts";
import { countImageFiles } from "../../io/file-walk.ts";
import { withFileLock } from "../../io/hub-lock.ts";
import { type LabellingSummary, labelFolder } from "../../tasks/detection/labelling/label-folder.ts";
import { writeReviewPage } from "../../tasks/detection/labelling/review-page.ts";
import { writeLabels } from "../../tasks/detection/labelling/write-labels.ts";
import { reportFailure } from "../batch-report.ts";
import {
  addDetectorOption,
  addJsonOption,
  addModelOption,
  addNamingOption,
  type DetectorOption,
  defineCommand,
  type JsonOption,
  type ModelOption,
  type NamingOption,
  numberBetween,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { exitCodeOfBatch } from "../exit-codes.ts";
import { openLabelDetector } from "../label-detector.ts";

interface LabelOptions extends ModelOption, DetectorOption, NamingOption, JsonOption {
  readonly labels: string;
  readonly format: DetectionFormat;
  readonly out: string;
  readonly minScore: number;
  readonly review?: string;
}

/** `florence label`: boxes and labels for a folder of pictures, as a detection set and a page to review them. */
export const labelCommand = defineCommand<[string], LabelOptions>({
  name: "label",
  summary: "Label a folder of pictures with boxes, as a set to train on",
  details: `Every picture below the folder is looked at once. What was found is kept in <out>/journal.jsonl as it comes, so a run
that was stopped or killed goes on where it was; pictures that failed are tried again by the next call, and pictures
added or changed later are labelled too. At the end <out>/dataset is written anew: COCO, YOLO or Pascal VOC with copies of
the pictures. One --out is for one folder of pictures; if it lies in that folder, it is not labelled itself.

Labels that a machine made are guesses. Each box keeps its score: in COCO's annotations as "score", else in
dataset/scores.jsonl. What is found, and what a score is, is as of florence detect with the same labels. Review before
you train: --review.`,
  examples: [
    {
      line: 'florence label photos/ --labels "cat,dog" --out labelled --review review.html',
      does: "boxes of cats and dogs as COCO, with a page to review them",
    },
    {
      line: "florence label photos/ --detector runs/fish/detector --labels fish --format yolo --min-score 0.5 --out labelled",
      does: "by a detector of your own, sure ones only",
    },
  ],
  configure(command: Command) {
    command.argument("<folder>", "the pictures, with those of folders below");
    command.requiredOption("--labels <list>", "what to look for, separated by commas");
    addDetectorOption(command);
    command.addOption(new Option("--format <form>", "what to write").choices(["coco", "yolo", "voc"]).default("coco"));
    command.requiredOption("-o, --out <dir>", "where the journal and the set go");
    command.option("--min-score <n>", "least score of a box that is kept", numberBetween(0, 1), 0.3);
    command.option("--review <page.html>", "also write a page to review the labels on");
    addJsonOption(addNamingOption(addModelOption(command)));
  },

  async run(context, [folder], options) {
    const labels = splitLabels(options.labels);
    const { json } = options;
    const out = resolve(options.out);
    const journalPath = join(out, "journal.jsonl");
    const exclude = await ownFolders(folder, out);
    const labeller = await openLabelDetector(context, { ...options, labels });
    const progress = context.progress("label");
    countImageFiles([folder], { exclude, signal: context.signal })
      .then((pictures) => progress.expect(pictures))
      .catch(() => undefined); // a walk that was aborted
    try {
      return await withFileLock(join(out, "lock"), { signal: context.signal }, async () => {
        let done = 0;
        const summary = await labelFolder({
          folder,
          journalPath,
          settings: labeller.settings,
          detect: labeller.detect,
          exclude,
          signal: context.signal,
          onResume(count) {
            done = count;
            context.log(`label: ${count} pictures were labelled before; the others follow.`);
          },
          async onPicture(picture) {
            progress.update(++done);
            if (json) await context.print(JSON.stringify(picture));
          },
          onFailure: (failure) => reportFailure(context, failure, Boolean(json)),
        });
        const total = summary.labelled + summary.earlier;
        let leftOut = 0;
        if (total > 0) {
          const results = { folder, out, journalPath, labels, settings: labeller.settings, summary };
          leftOut = await writeResults(context, results, options);
        } else context.log("label: found no pictures.");
        return exitCodeOfBatch({ processed: total - leftOut, failed: summary.failed + leftOut });
      });
    } finally {
      progress.stop();
      await labeller.dispose();
    }
  },
});

interface Results {
  readonly folder: string;
  readonly out: string;
  readonly journalPath: string;
  readonly labels: readonly string[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly summary: LabellingSummary;
}

/** Writes the set and the page; returns how many labelled pictures are not in it, each of which is reported. */
async function writeResults(
  context: CommandContext,
  { folder, out, journalPath, labels, settings, summary }: Results,
  { format, review, json = false }: LabelOptions,
): Promise<number> {
  const about = { made_by: "florence label", settings, note: "Labels are a detector's guesses." };
  const { leftOut, ...written } = await writeLabels(join(out, "dataset"), {
    ...{ folder, journalPath, labels, format, about },
    signal: context.signal,
  });
  for (const failure of leftOut) await reportFailure(context, failure, json);
  if (review) {
    const identity = createHash("sha256")
      .update(JSON.stringify([resolve(folder), settings]))
      .digest("hex");
    await writeReviewPage(review, {
      ...{ folder, journalPath, labels },
      title: `${written.images} pictures, ${written.boxes} boxes`,
      identity: identity.slice(0, 16),
      leftOut: new Set(leftOut.map(({ path }) => path)),
    });
  }
  const counts = { ...summary, ...written, leftOut: leftOut.length, format };
  if (json) await context.print(JSON.stringify({ summary: counts }));
  else await context.print(`${written.folder}: ${written.images} pictures, ${written.boxes} boxes, as ${format}`);
  return leftOut.length;
}

/**
 * What this command itself writes, and so does not label: --out, or if that holds the pictures only its set.
 *
 * @throws UserError bad-argument for pictures within the set, which is written anew
 */
async function ownFolders(folder: string, out: string): Promise<ReadonlySet<string>> {
  const [pictures, own, set] = await Promise.all([folder, out, join(out, "dataset")].map(realOrNamed));
  const isWithin = (inner: string, outer: string) => inner === outer || inner.startsWith(outer + sep);
  if (isWithin(pictures, set)) {
    const rule = "label: the pictures must not lie in <out>/dataset, which is written anew";
    throw new UserError("bad-argument", `${rule}, got ${folder}. Name another --out.`);
  }
  return new Set([isWithin(pictures, own) ? set : own]);
}

/** The real path; that which was named where nothing is there yet. */
function realOrNamed(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

/** @throws UserError bad-argument for an empty or a repeated name */
function splitLabels(list: string): string[] {
  const labels = list.split(",").map((label) => label.trim());
  const wrong = labels.find((label, i) => label === "" || labels.indexOf(label) !== i);
  if (wrong === undefined) return labels;
  const got = wrong === "" ? "an empty one" : `"${wrong}" twice`;
  throw new UserError("bad-argument", `label: --labels must be names that differ, got ${got}. Correct the list.`);
}
