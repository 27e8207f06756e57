import { resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import { holdsBoxes } from "../data/detection/recognise-boxes.ts";
import { inspectSet } from "../data/inspection/inspect-set.ts";
import { inspectionLines } from "../data/inspection/inspection-report.ts";
import { sheetEndings, writeSampleSheet } from "../data/inspection/sample-sheet.ts";
import { type OpenedLabelledSet, openLabelledSet } from "../data/labelled/open-labelled-set.ts";
import type { CommandContext } from "./context.ts";
import { inspectBoxes } from "./detection-inspect.ts";
import { exitCodes } from "./exit-codes.ts";

export interface TableOptions {
  readonly images?: string;
  readonly imageColumn?: string;
  readonly textColumn?: string;
  readonly labelColumn?: string;
}

export interface InspectOptions extends TableOptions {
  readonly json?: boolean;
  readonly quick?: boolean;
  readonly sheet?: string;
}

/** Says what a dataset is and what is wrong with it; the exit code tells whether rows, files or pictures are lost. */
export async function inspectDataset(
  context: CommandContext,
  paths: readonly string[],
  options: InspectOptions,
  cacheFolder: string,
): Promise<number> {
  if (paths.length !== 1) {
    throw new UserError("bad-argument", `data inspect: one path is needed, got ${paths.length}. Name one data set.`);
  }
  const { sheet, json, quick } = options;
  if (sheet !== undefined && !sheetEndings.some((ending) => sheet.toLowerCase().endsWith(ending))) {
    throw new UserError(
      "bad-argument",
      `data inspect: --sheet must end with ${sheetEndings.join(", ")}, got "${sheet}".`,
    );
  }
  if (await holdsBoxes(paths[0])) return inspectBoxes(context, paths[0], options);
  const set = await openWithProgress(context, paths[0], options, cacheFolder);
  try {
    const images = [...set.splits.values()].reduce((sum, list) => sum + list.length, 0);
    const progress = context.progress("inspecting", images);
    const inspection = await inspectSet(set, {
      isQuick: quick,
      signal: context.signal,
      onProgress: (done) => progress.update(done),
    }).finally(() => progress.stop());
    if (json) await context.print(JSON.stringify(inspection));
    else for (const line of inspectionLines(inspection)) await context.print(line);
    if (sheet !== undefined) {
      await writeSampleSheet(resolve(sheet), set);
      context.log(`sheet: ${resolve(sheet)}`);
    }
    const isLossy = inspection.findings.some(({ kind }) => kind === "left-out" || kind === "unreadable-image");
    return isLossy ? exitCodes.someFailed : exitCodes.ok;
  } finally {
    await set.close();
  }
}

/** Opens a labelled set, showing how far its reading is. */
export async function openWithProgress(
  context: CommandContext,
  path: string,
  { images, imageColumn, textColumn, labelColumn }: TableOptions,
  cacheFolder: string,
): Promise<OpenedLabelledSet> {
  const progress = context.progress("reading");
  return openLabelledSet(path, {
    columns: { image: imageColumn, text: textColumn, label: labelColumn },
    imageFolder: images,
    cacheFolder,
    signal: context.signal,
    onProgress: (done) => progress.update(done),
  }).finally(() => progress.stop());
}
