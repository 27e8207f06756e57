import { createHash, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { ShapeError, UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { fileError } from "../io/file-errors.ts";
import { keepAtExit, removeAtExit } from "../io/output-folder.ts";
import { SHARD_FORMAT, type ShardManifest, type ShardRow, shardRowSchema } from "./shard-format.ts";

export type { ShardManifest, ShardRow } from "./shard-format.ts";
export { ShardReader } from "./shard-reader.ts";

/** What the manifest says beside the counts that the writer takes itself. */
export type ShardDescription = Pick<
  ShardManifest,
  "name" | "source" | "licence" | "height" | "width" | "recipe" | "createdBy" | "role"
>;

const FLUSH_BYTES = 4 * 2 ** 20;

/**
 * Writes one shard folder, image by image, into `<folder>.<random>.partial`; `close` puts it in the place of `folder`,
 * so a run that dies leaves no folder that looks whole, and of two writers the last to close has its set there.
 */
export class ShardWriter {
  readonly #folder: string;
  readonly #partial: string;
  readonly #description: ShardDescription;
  readonly #imageBytes: number;
  readonly #hash = createHash("sha256");
  readonly #removed: Record<string, number> = {};
  readonly #buffer = Buffer.allocUnsafe(FLUSH_BYTES);
  #filled = 0;
  #lines: string[] = [];
  #count = 0;
  #imagesFile: number;
  #rowsFile: number;

  constructor(folder: string, description: ShardDescription) {
    this.#folder = folder;
    this.#partial = `${resolve(folder)}.${randomBytes(6).toString("hex")}.partial`; // no other writer has the same
    this.#description = description;
    this.#imageBytes = description.height * description.width * 3;
    if (this.#imageBytes > FLUSH_BYTES) {
      throw new ShapeError(`ShardWriter: an image must be under 4 MiB, got ${description.height}×${description.width}`);
    }
    try {
      removeAtExit(this.#partial);
      mkdirSync(this.#partial, { recursive: true });
      this.#imagesFile = openSync(join(this.#partial, "images.bin"), "w");
      this.#rowsFile = openSync(join(this.#partial, "rows.jsonl"), "w");
    } catch (error) {
      throw fileError(this.#partial, error);
    }
  }

  /** Images written so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds one image with its texts.
   *
   * @throws ShapeError unless the image has exactly the shard's size; UserError for a malformed row
   */
  append(image: RgbImage, row: ShardRow): void {
    const { height, width } = this.#description;
    if (image.height !== height || image.width !== width || image.data.length !== this.#imageBytes) {
      const got = `${image.height}×${image.width} (${image.data.length} bytes)`;
      throw new ShapeError(`ShardWriter.append: image "${row.key}" must be ${height}×${width} RGB, got ${got}`);
    }
    const checked = shardRowSchema.safeParse(row);
    if (!checked.success) {
      throw new UserError("bad-argument", `${this.#folder}: row "${row.key}": ${checked.error.issues[0].message}.`);
    }
    if (this.#filled + this.#imageBytes > FLUSH_BYTES) this.#flush();
    this.#buffer.set(image.data, this.#filled);
    this.#filled += this.#imageBytes;
    this.#lines.push(JSON.stringify(checked.data));
    this.#count++;
  }

  /** Counts a row that was left out (near-duplicate, undecodable, …) for the manifest. */
  countRemoved(reason: string, rows = 1): void {
    this.#removed[reason] = (this.#removed[reason] ?? 0) + rows;
  }

  /** Finishes the files, writes the manifest and puts the folder in place. */
  async close(): Promise<ShardManifest> {
    this.#flush();
    for (const file of [this.#imagesFile, this.#rowsFile]) {
      fsyncSync(file);
      closeSync(file);
    }
    const { name, source, licence, height, width, recipe, createdBy, role } = this.#description;
    const manifest: ShardManifest = {
      format: SHARD_FORMAT,
      name,
      source,
      licence,
      height,
      width,
      channels: 3,
      count: this.#count,
      imagesSha256: this.#hash.digest("hex"),
      recipe,
      removed: this.#removed,
      createdBy,
      ...(role && { role }),
    };
    try {
      await writeFileAtomic(join(this.#partial, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
      await replaceFolder(this.#partial, this.#folder);
    } catch (error) {
      rmSync(this.#partial, { recursive: true, force: true });
      throw error;
    } finally {
      keepAtExit(this.#partial);
    }
    return manifest;
  }

  /** Gives up: removes what was written, leaves an older folder alone. */
  abort(): void {
    closeSync(this.#imagesFile);
    closeSync(this.#rowsFile);
    rmSync(this.#partial, { recursive: true, force: true });
    keepAtExit(this.#partial);
  }

  #flush(): void {
    try {
      const images = this.#buffer.subarray(0, this.#filled);
      this.#hash.update(images);
      writeFully(this.#imagesFile, images);
      if (this.#lines.length > 0) writeFully(this.#rowsFile, Buffer.from(`${this.#lines.join("\n")}\n`));
    } catch (error) {
      throw fileError(this.#partial, error);
    }
    this.#filled = 0;
    this.#lines = [];
  }
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}
