import { existsSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { readUnpacked } from "../../io/archives.ts";
import { readUtf8 } from "../../io/text-files.ts";

/** A file of concatenated pictures, as it is or gzipped as a whole (`.gz`), held in memory. */
export async function readPackedPictures(folder: string, name: string): Promise<Buffer> {
  const plain = join(folder, name);
  const gzipped = `${plain}.gz`;
  const bytes = await readUnpacked(existsSync(gzipped) && !existsSync(plain) ? gzipped : plain);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The bytes of one picture of a packed file. @throws UserError `corrupt` when they lie outside the file */
export function packedPicture(packed: Buffer, row: { file: string; offset: number; length: number }): Buffer {
  const end = row.offset + row.length;
  if (end > packed.length) {
    throw new UserError("corrupt", `${row.file}: must end within the ${packed.length} packed bytes, got ${end}.`);
  }
  return packed.subarray(row.offset, end);
}

/** The rows of a JSON-lines file, each checked against `schema`. @throws UserError naming file and line */
export async function readJsonLines<T>(path: string, schema: z.ZodType<T>): Promise<T[]> {
  const text = await readUtf8(path);
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, index) => parseRow(line, schema, `${path}:${index + 1}`));
}

/** One JSON text, checked against `schema`. @throws UserError `corrupt` */
export function parseRow<T>(text: string, schema: z.ZodType<T>, place: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError("corrupt", `${place}: must be JSON. Get the file again.`, { cause });
  }
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new UserError("corrupt", `${place}: ${issue.path.join(".") || "value"}: ${issue.message}. Get the file again.`);
}
