import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { UserError } from "../core/errors.ts";
import { writeAtomically } from "./atomic-files.ts";
import { fileError } from "./file-errors.ts";

/**
 * A file that can be read by position: the file itself, or, if it is gzipped (told by its bytes), what is in it,
 * unpacked once into `<cacheFolder>/unpacked` under a name made of its path, size and time of last change.
 *
 * @returns path of the unpacked file
 * @throws  UserError naming the file: not-found, unreadable, unsupported (a folder), empty, corrupt
 */
export async function unpackedFile(path: string, cacheFolder: string): Promise<string> {
  let target: string;
  try {
    const stats = await stat(path); // before opening: to open a pipe would wait for its writer
    if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a file, got a folder or a device.`);
    if (stats.size === 0) throw new UserError("empty", `${path}: must have content, got 0 bytes. Fetch it anew.`);
    if (!(await isGzipped(path))) return path;
    const identity = `${await realpath(path)}\n${stats.size}\n${stats.mtimeMs}`;
    const digest = createHash("sha256").update(identity).digest("hex").slice(0, 20);
    target = join(cacheFolder, "unpacked", `${digest}-${basename(path).replace(/\.(gz|tgz)$/i, "")}`);
  } catch (error) {
    throw fileError(path, error);
  }
  if (existsSync(target)) return target;
  await writeAtomically(target, async (file) => {
    try {
      await pipeline(createReadStream(path), createGunzip(), async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) await file.write(piece);
      });
    } catch (error) {
      if (error instanceof Error && "syscall" in error) throw error;
      const detail = error instanceof Error ? error.message : String(error);
      const rule = `${path}: must be a whole gzip file, got "${detail}"`;
      throw new UserError("corrupt", `${rule}. Fetch it anew.`, { cause: error });
    }
  });
  return target;
}

async function isGzipped(path: string): Promise<boolean> {
  const file = await open(path, "r");
  const start = Buffer.alloc(2);
  await file.read(start, 0, 2, 0).finally(() => file.close());
  return start.readUInt16BE(0) === 0x1f8b;
}
