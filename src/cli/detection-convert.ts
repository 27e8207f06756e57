import { resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import { convertDetectionSet } from "../data/detection/convert-detection-set.ts";
import type { DetectionFormat, DetectionProblem, DetectionSet } from "../data/detection/detection-set.ts";
import { openDetectionSet, refuseProblems } from "../data/detection/open-detection-set.ts";
import type { CommandContext } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";

export interface DetectionConvertOptions {
  readonly json?: boolean;
  readonly out?: string;
  readonly strict?: boolean;
}

/** The forms for pictures with boxes. */
export const boxForms = ["coco", "yolo", "voc"] as const satisfies readonly DetectionFormat[];

/** Writes pictures with boxes in another format; what was wrong with them or could not be kept is said line by line. */
export async function convertDetections(
  context: CommandContext,
  paths: readonly string[],
  to: DetectionFormat,
  { json = false, out: target, strict = false }: DetectionConvertOptions,
): Promise<number> {
  if (paths.length !== 1 || target === undefined) {
    throw new UserError(
      "bad-argument",
      "data convert: one path, --to and --out are needed. Name the set, the form and a new folder.",
    );
  }
  const [source] = paths;
  const set = await openBoxesWithProgress(context, source);
  for (const problem of set.problems) await reportProblem(context, problem, json);
  if (strict) refuseProblems(source, set.problems);
  const progress = context.progress("copying");
  try {
    const report = await convertDetectionSet(set, resolve(target), to, {
      onProgress: (done) => progress.update(done),
      signal: context.signal,
    });
    progress.stop();
    const { images, boxes, lost } = report;
    const splits = Object.fromEntries([...set.splits].map(([split, own]) => [split, own.length]));
    if (json) {
      const { format: from, classes, problems } = set;
      const line = { folder: target, from, to, images, boxes, classes: classes.length, splits, lost };
      await context.print(JSON.stringify({ ...line, problems: problems.length }));
    } else {
      const parts = Object.entries(splits).map(([split, count]) => `${split} ${count}`);
      await context.print(`${target}: ${images} pictures (${parts.join(", ")}), ${boxes} boxes, as ${to}`);
      for (const { what, count } of lost) context.log(`not kept, since ${to} has no place for it: ${what} (${count})`);
    }
    return set.problems.some(({ action }) => action === "left-out") ? exitCodes.someFailed : exitCodes.ok;
  } finally {
    progress.stop();
  }
}

/** Opens a set of boxes, showing how far its reading is. */
export async function openBoxesWithProgress(context: CommandContext, path: string): Promise<DetectionSet> {
  const progress = context.progress("reading");
  try {
    const onProgress = (done: number) => progress.update(done);
    return await openDetectionSet(path, { onProgress, signal: context.signal });
  } finally {
    progress.stop();
  }
}

/** One line about a fault of a set. */
async function reportProblem(context: CommandContext, problem: DetectionProblem, json: boolean): Promise<void> {
  if (!json) context.log(problem.error.message);
  else await context.print(JSON.stringify(problem));
}
