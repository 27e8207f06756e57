import { resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import { type WrittenForm, writeLabelledSet } from "../data/labelled/write-labelled-set.ts";
import { type FailedFile, failedFile } from "../io/file-walk.ts";
import { reportFailure } from "./batch-report.ts";
import type { CommandContext } from "./context.ts";
import { openWithProgress, type TableOptions } from "./dataset-inspect.ts";
import { exitCodeOfBatch } from "./exit-codes.ts";

export interface ConvertOptions extends TableOptions {
  readonly json?: boolean;
  readonly out?: string;
}

/** Writes a labelled set in another form; rows and images that cannot be used are reported one by one. */
export async function convertDataset(
  context: CommandContext,
  paths: readonly string[],
  to: WrittenForm,
  options: ConvertOptions,
  cacheFolder: string,
): Promise<number> {
  const { out, json = false } = options;
  if (paths.length !== 1 || out === undefined) {
    throw new UserError(
      "bad-argument",
      "data convert: one path, --to and --out are needed. Name the set, the form and a new folder.",
    );
  }
  const set = await openWithProgress(context, paths[0], options, cacheFolder);
  try {
    const failures: FailedFile[] = [...set.problems];
    const images = [...set.splits.values()].reduce((sum, list) => sum + list.length, 0);
    const progress = context.progress("converting", images);
    const folder = resolve(out);
    const count = await writeLabelledSet(set, to, folder, {
      signal: context.signal,
      onProgress: (done) => progress.update(done),
      onFailure: (image, error) => failures.push(failedFile(image.key, error)),
    }).finally(() => progress.stop());
    for (const { message } of set.notes) context.log(message);
    for (const failure of failures) await reportFailure(context, failure, json);
    await context.print(
      json
        ? JSON.stringify({
            name: set.name,
            folder,
            form: to,
            count,
            classes: set.classes.length,
            failed: failures.length,
          })
        : `${set.name}: ${count} pictures as ${to} in ${folder}${failures.length > 0 ? `, ${failures.length} left out` : ""}`,
    );
    return exitCodeOfBatch({ processed: count, failed: failures.length });
  } finally {
    await set.close();
  }
}
