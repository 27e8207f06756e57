import { existsSync } from "node:fs";
import { UserError } from "../core/errors.ts";
import { recipes } from "../data/recipes/catalog.ts";
import { ownDataset } from "../data/recipes/own-dataset.ts";
import type { SquareFit } from "../data/recipes/pictures.ts";
import { prepareRecipe } from "../data/recipes/prepare.ts";
import type { ShardManifest } from "../data/shards.ts";
import { type FailedFile, failedFile } from "../io/file-walk.ts";
import { reportFailure } from "./batch-report.ts";
import type { CommandContext } from "./context.ts";
import { exitCodeOfBatch } from "./exit-codes.ts";

export interface ImportOptions {
  readonly json?: boolean;
  readonly size?: number;
  readonly name?: string;
  readonly licence: string;
  readonly fit: SquareFit;
  readonly images?: string;
  readonly imageColumn?: string;
  readonly textColumn?: string;
  readonly labelColumn?: string;
  readonly split?: string;
}

const importedSize = 64; // pixels

/** Makes a set of the user's own data; a set that is there already is never replaced. */
export async function importDataset(
  context: CommandContext,
  paths: readonly string[],
  options: ImportOptions,
  folderOf: (name: string) => string,
): Promise<number> {
  const { name, json, imageColumn, textColumn, labelColumn, images, split } = options;
  if (paths.length !== 1) {
    throw new UserError("bad-argument", `data import: one path is needed, got ${paths.length}. Name one data set.`);
  }
  if (name === undefined || !/^[a-z0-9][a-z0-9._-]*$/i.test(name)) {
    const got = name === undefined ? "none" : `"${name}"`;
    throw new UserError(
      "bad-argument",
      `data import: a name of letters, digits, . _ - is needed, got ${got}. Pass --name.`,
    );
  }
  const folder = folderOf(name);
  if (existsSync(folder) || recipes.some((recipe) => recipe.name === name)) {
    throw new UserError(
      "bad-argument",
      `data import: "${name}" must be a new set, got one that is taken. Pass another --name or delete ${folder}.`,
    );
  }
  let failed = 0;
  const fail = async (failure: FailedFile): Promise<void> => {
    failed++;
    await reportFailure(context, failure, json ?? false);
  };
  const reports: Promise<void>[] = [];
  const recipe = ownDataset(paths[0], {
    name,
    licence: options.licence,
    size: options.size ?? importedSize,
    fit: options.fit,
    columns: { image: imageColumn, text: textColumn, label: labelColumn },
    imageFolder: images,
    ...(split !== undefined && { split }),
    onProblem: (problem) => reports.push(fail(problem)),
    signal: context.signal,
  });
  const progress = context.progress(name);
  try {
    const manifest = await prepareRecipe(recipe, {
      packageFolder: folder, // its recipe has no packages
      shardFolder: folder,
      onProgress: (done) => progress.update(done),
      onFailure: (key, error) => reports.push(fail(failedFile(key, error))),
      signal: context.signal,
    });
    progress.stop();
    await Promise.all(reports);
    await printPrepared(context, manifest, folder, json);
    return exitCodeOfBatch({ processed: manifest.count, failed });
  } finally {
    progress.stop();
    await Promise.allSettled(reports); // an error that ends the import is not overtaken by what it already said
  }
}

/** One line about a set that was made. */
export async function printPrepared(
  context: CommandContext,
  { name, count, height, width, removed }: ShardManifest,
  folder: string,
  json: boolean | undefined,
): Promise<void> {
  const reasons = Object.entries(removed).map(([reason, rows]) => `${rows} × ${reason}`);
  const leftOut = reasons.length > 0 ? ` (left out ${reasons.join(", ")})` : "";
  await context.print(
    json
      ? JSON.stringify({ name, folder, count, size: height, removed })
      : `${name}: ${count} pictures of ${height}×${width}${leftOut} in ${folder}`,
  );
}
