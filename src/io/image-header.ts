import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import sharp from "sharp";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";

/** What a picture's file says of itself, without its pixels. */
export interface ImageHeader {
  readonly width: number; // pixels, as stored: before the EXIF orientation is applied
  readonly height: number;
  readonly orientation: number; // EXIF, 1 … 8; 1 = as stored
  readonly bytes: number; // of the file
  /** SHA-256 in hex over the file's length and first 64 KiB: tells files apart without reading them whole. */
  readonly identity: string;
}

const IDENTITY_BYTES = 64 * 1024;

/**
 * Reads a picture's header.
 *
 * @throws UserError naming the file: not-found, unreadable, empty, unsupported (a folder, or no picture)
 */
export async function readImageHeader(path: string): Promise<ImageHeader> {
  const { bytes, start } = await readStart(path);
  if (bytes === 0) throw new UserError("empty", `${path}: must be a picture, got 0 bytes. Replace the file.`);
  const metadata = await sharp(path, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw new UserError("unsupported", `${path}: must be a picture, got other content. Replace the file.`, { cause });
    });
  const identity = createHash("sha256").update(`${bytes}\n`).update(start).digest("hex");
  return { width: metadata.width, height: metadata.height, orientation: metadata.orientation ?? 1, bytes, identity };
}

async function readStart(path: string): Promise<{ bytes: number; start: Uint8Array }> {
  try {
    const file = await open(path, "r");
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a picture, got a folder or a device.`);
      const start = Buffer.alloc(Math.min(stats.size, IDENTITY_BYTES));
      const { bytesRead } = await file.read(start, 0, start.length, 0);
      return { bytes: stats.size, start: start.subarray(0, bytesRead) };
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(path, error);
  }
}
