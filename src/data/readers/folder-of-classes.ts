import { readdir, stat } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import { imageExtensions, walkImageFiles } from "../../io/file-walk.ts";
import { type DatasetRecord, labelText, type ReaderOptions, reportProblem } from "./record.ts";

/**
 * A folder with one subfolder a class, whose name is the label and, underscores as spaces, the text. Classes and files
 * come in code-unit order; subfolders of a class belong to it. Images outside a class folder are problems.
 */
export async function* readFolderOfClasses(folder: string, options: ReaderOptions = {}): AsyncGenerator<DatasetRecord> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  for (const name of names.filter((name) => !name.startsWith(".")).sort()) {
    const path = join(folder, name);
    const stats = await stat(path).catch((error: unknown) => reportProblem(options, path, fileError(path, error)));
    if (stats?.isDirectory()) {
      yield* readClass(folder, name, options);
    } else if (stats && imageExtensions.has(extname(name).slice(1).toLowerCase())) {
      const error = new UserError("bad-argument", `${path}: must be in the folder of its class. Move it into one.`);
      reportProblem(options, path, error);
    }
  }
}

async function* readClass(folder: string, name: string, options: ReaderOptions): AsyncGenerator<DatasetRecord> {
  for await (const file of walkImageFiles([join(folder, name)], { signal: options.signal })) {
    if ("error" in file) {
      reportProblem(options, file.path, new UserError(file.error.code, file.error.message));
      continue;
    }
    const key = relative(folder, file.path).split(sep).join("/");
    yield { key, image: file.path, texts: [labelText(name)], label: name };
  }
}
