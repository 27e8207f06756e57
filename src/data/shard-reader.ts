import { createHash } from "node:crypto";
import { closeSync, createReadStream, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { ShapeError, UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { type ShardManifest, type ShardRow, shardManifestSchema, shardRowSchema } from "./shard-format.ts";

/**
 * One shard folder opened for random access: rows in memory, pixels by positioned reads (the page cache keeps them).
 * Everything is synchronous, since a training step waits for its batch anyway.
 */
export class ShardReader {
  readonly folder: string;
  readonly manifest: ShardManifest;
  readonly rows: readonly ShardRow[];
  readonly rowsSha256: string; // of rows.jsonl
  readonly #file: number;
  readonly #imageBytes: number;

  private constructor(folder: string, manifest: ShardManifest, text: RowsText, file: number) {
    this.folder = folder;
    this.manifest = manifest;
    this.rows = text.rows;
    this.rowsSha256 = text.sha256;
    this.#file = file;
    this.#imageBytes = manifest.height * manifest.width * 3;
  }

  /**
   * Opens a folder written by ShardWriter.
   *
   * @throws UserError naming the file: not-found, unreadable, corrupt, or mismatch when counts and sizes disagree
   */
  static open(folder: string): ShardReader {
    const manifest = readShardManifest(folder);
    const text = readRows(join(folder, "rows.jsonl"));
    const { rows } = text;
    if (rows.length !== manifest.count) {
      throw new UserError("mismatch", `${folder}: rows.jsonl must have ${manifest.count} rows, got ${rows.length}.`);
    }
    const imagesPath = join(folder, "images.bin");
    let file: number;
    try {
      file = openSync(imagesPath, "r");
    } catch (error) {
      throw fileError(imagesPath, error);
    }
    const expected = manifest.count * manifest.height * manifest.width * 3;
    const size = fstatSync(file).size;
    if (size !== expected) {
      closeSync(file);
      throw new UserError("mismatch", `${imagesPath}: must be ${expected} bytes, got ${size}. Prepare the set again.`);
    }
    return new ShardReader(folder, manifest, text, file);
  }

  /** Images in the shard. */
  get count(): number {
    return this.manifest.count;
  }

  /** Height of every image, pixels. */
  get height(): number {
    return this.manifest.height;
  }

  /** Width of every image, pixels. */
  get width(): number {
    return this.manifest.width;
  }

  /** Copies image `index`, [height, width, 3] bytes, into `target` from `offset` on. */
  readImage(index: number, target: Uint8Array, offset = 0): void {
    if (!(index >= 0 && index < this.count)) {
      throw new ShapeError(`ShardReader.readImage: index must be in 0 … ${this.count - 1}, got ${index}`);
    }
    const start = index * this.#imageBytes;
    for (let done = 0; done < this.#imageBytes; ) {
      const read = readSync(this.#file, target, offset + done, this.#imageBytes - done, start + done);
      if (read === 0) throw new UserError("corrupt", `${this.folder}: images.bin must not shrink while it is open.`);
      done += read;
    }
  }

  /** Compares the pixels' SHA-256 with the manifest; throws a UserError (mismatch) if they differ. */
  async verify(): Promise<void> {
    const path = join(this.folder, "images.bin");
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    const digest = hash.digest("hex");
    if (digest === this.manifest.imagesSha256) return;
    const rule = `must have SHA-256 ${this.manifest.imagesSha256}, got ${digest}`;
    throw new UserError("mismatch", `${path}: ${rule}. Prepare the set again.`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(path, error);
  }
}

/** `manifest.json` of a shard folder. @throws UserError naming the file: not-found, unreadable or corrupt */
export function readShardManifest(folder: string): ShardManifest {
  const path = join(folder, "manifest.json");
  let parsed: unknown;
  try {
    parsed = JSON.parse(readText(path));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("corrupt", `${path}: must be JSON, got other text. Prepare the set again.`, { cause: error });
  }
  const checked = shardManifestSchema.safeParse(parsed);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  throw new UserError("corrupt", `${path}: ${issue.path.join(".")}: ${issue.message}. Prepare the set again.`);
}

interface RowsText {
  readonly rows: ShardRow[];
  readonly sha256: string;
}

function readRows(path: string): RowsText {
  const text = readText(path);
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const rows = lines.map((line, index) => {
    try {
      return shardRowSchema.parse(JSON.parse(line));
    } catch (error) {
      throw new UserError("corrupt", `${path}: line ${index + 1} must be a row with key and texts.`, { cause: error });
    }
  });
  return { rows, sha256: createHash("sha256").update(text).digest("hex") };
}
