import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { hubNameOfSnapshot } from "../io/hub-cache.ts";
import { readUtf8 } from "../io/text-files.ts";

/** A folder that holds a model, with its file names known and its JSON files read at most once. */
export class CheckpointFolder {
  readonly path: string;
  /** Names of the files directly in the folder. */
  readonly files: ReadonlySet<string>;
  readonly #json = new Map<string, unknown>();
  readonly #read: (file: string) => Promise<string>;

  private constructor(path: string, files: ReadonlySet<string>, read: (file: string) => Promise<string>) {
    this.path = path;
    this.files = files;
    this.#read = read;
  }

  /** @param coming  names of files that are not there yet, and count among the folder's: weights before a download */
  static async open(path: string, coming: Iterable<string> = []): Promise<CheckpointFolder> {
    try {
      const files = new Set([...(await readdir(path)), ...coming]);
      return new CheckpointFolder(path, files, (file) => readUtf8(join(path, file)));
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /** One whose files are elsewhere, such as a repository of the hub: `read` brings the text of a small one. */
  static of(path: string, files: ReadonlySet<string>, read: (file: string) => Promise<string>): CheckpointFolder {
    return new CheckpointFolder(path, files, read);
  }

  /** The folder's own name, or a hub model's in the cache, which names a model that gives itself none. */
  get name(): string {
    return hubNameOfSnapshot(resolve(this.path))?.name ?? basename(resolve(this.path));
  }

  pathOf(file: string): string {
    return join(this.path, file);
  }

  /** The content of a text file. @throws UserError naming the file */
  text(file: string): Promise<string> {
    return this.#read(file);
  }

  /** The value of a JSON file. @throws UserError `not-found`, `corrupt` */
  async json(file: string): Promise<unknown> {
    if (!this.#json.has(file)) this.#json.set(file, parseJson(await this.text(file), this.pathOf(file)));
    return this.#json.get(file);
  }

  /** A JSON file of a known form. @throws UserError `unsupported` naming the field */
  async parse<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>> {
    return parseConfig(this.pathOf(file), await this.json(file), schema);
  }

  /** A field of a JSON file that may lack it, or be no JSON at all: for telling formats apart. */
  async field(file: string, name: string): Promise<unknown> {
    if (!this.files.has(file)) return undefined;
    const value = await this.json(file).catch((error: unknown) => {
      if (error instanceof UserError && error.code === "corrupt") return undefined;
      throw error; // a failed download is no other format
    });
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  }
}

/** A configuration's value in its known form. @throws UserError `unsupported` naming the file and the field */
export function parseConfig<Schema extends z.ZodType>(path: string, value: unknown, schema: Schema): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue?.path.join(".") || "the whole";
  throw new UserError("unsupported", `${path}: ${field} is not right: ${issue?.message}.`);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be JSON, got: ${(error as Error).message}.`, { cause: error });
  }
}
