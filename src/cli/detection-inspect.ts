import { UserError } from "../core/errors.ts";
import type { DetectionProblem, DetectionSet } from "../data/detection/detection-set.ts";
import { failedFile } from "../io/file-walk.ts";
import type { CommandContext } from "./context.ts";
import { openBoxesWithProgress } from "./detection-convert.ts";
import { exitCodes } from "./exit-codes.ts";

export interface InspectBoxesOptions {
  readonly json?: boolean;
  readonly quick?: boolean;
  readonly sheet?: string;
}

/** What is printed of a set of boxes; counts of boxes and pictures. */
interface BoxInspection {
  readonly name: string;
  readonly path: string;
  readonly format: string;
  readonly fingerprint: string;
  readonly splits: Readonly<Record<string, number>>; // pictures
  readonly boxes: number;
  readonly background: number; // pictures without a box
  readonly classes: readonly { name: string; total: number; bySplit: Record<string, number> }[]; // boxes
  readonly problems: readonly DetectionProblem[];
}

/** Says what a set of boxes is and all that is wrong with it; the exit code tells whether anything is lost. */
export async function inspectBoxes(
  context: CommandContext,
  path: string,
  { json, quick, sheet }: InspectBoxesOptions,
): Promise<number> {
  if (sheet !== undefined) {
    const rule = "data inspect: --sheet is for labelled pictures";
    throw new UserError("bad-argument", `${rule}, got pictures with boxes. Leave it out.`);
  }
  const set = await openBoxesWithProgress(context, path);
  const damaged = quick ? [] : await damagedPictures(context, set);
  const inspection = describe(set, [...set.problems, ...damaged]);
  if (json) await context.print(JSON.stringify(inspection));
  else for (const line of linesOf(inspection)) await context.print(line);
  return inspection.problems.some(({ action }) => action === "left-out") ? exitCodes.someFailed : exitCodes.ok;
}

/** Pictures whose header is sound and that do not decode: a training leaves them out. */
async function damagedPictures(context: CommandContext, set: DetectionSet): Promise<DetectionProblem[]> {
  const images = [...set.splits.values()].flat();
  const progress = context.progress("inspecting", images.length);
  const damaged: DetectionProblem[] = [];
  try {
    for (const [i, image] of images.entries()) {
      context.signal.throwIfAborted();
      await set.decode(image).catch((error: unknown) => {
        const id = image.id === undefined ? {} : { id: image.id };
        damaged.push({ ...failedFile(image.path, error), kind: "unreadable-image", action: "left-out", ...id });
      });
      progress.update(i + 1);
    }
  } finally {
    progress.stop();
  }
  return damaged;
}

function describe(set: DetectionSet, problems: readonly DetectionProblem[]): BoxInspection {
  const { name, path, format, fingerprint } = set;
  const classes = set.classes.map((own) => ({ name: own, total: 0, bySplit: {} as Record<string, number> }));
  let background = 0;
  for (const [split, images] of set.splits) {
    for (const { bySplit } of classes) bySplit[split] = 0;
    for (const { boxes } of images) {
      if (boxes.length === 0) background++;
      for (const box of boxes) {
        classes[box.class].total++;
        classes[box.class].bySplit[split]++;
      }
    }
  }
  const splits = Object.fromEntries([...set.splits].map(([split, images]) => [split, images.length]));
  const boxes = classes.reduce((sum, { total }) => sum + total, 0);
  return { name, path, format, fingerprint, splits, boxes, background, classes, problems };
}

function linesOf({ name, format, fingerprint, splits, boxes, background, classes, problems }: BoxInspection): string[] {
  const names = Object.keys(splits);
  const images = Object.values(splits).reduce((sum, count) => sum + count, 0);
  const width = Math.max(...classes.map((one) => one.name.length), 0);
  const rows = classes.map(({ name: own, total, bySplit }) => {
    const parts = names.length > 1 ? `  (${names.map((split) => bySplit[split]).join(" / ")})` : "";
    return `  ${own.padEnd(width)}  ${total}${parts}`;
  });
  return [
    `${name}: ${format}, ${images} pictures, ${boxes} boxes, ${classes.length} classes`,
    `splits       ${names.map((split) => `${split} ${splits[split]}`).join(", ")}`,
    `background   ${background} pictures without a box`,
    `fingerprint  ${fingerprint}`,
    "",
    `classes, boxes in all${names.length > 1 ? ` (${names.join(" / ")})` : ""}`,
    ...rows,
    "",
    ...(problems.length === 0 ? ["nothing wrong was found"] : problems.map(({ error }) => error.message)),
  ];
}
