import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gunzip } from "node:zlib";
import { extract } from "tar-stream";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";

/** A regular file of a tar archive. */
export interface TarEntry {
  readonly name: string; // path inside the archive, without a leading "./"
  readonly bytes: Uint8Array;
}

const LARGEST_ENTRY = 512 * 2 ** 20;

/**
 * The files of a tar archive (plain or gzipped, told by its bytes), in order, one in memory at a time.
 *
 * @throws UserError naming the archive: not-found, unreadable, empty, corrupt (truncated, or no tar), too-large (an
 *         entry over 512 MiB). Entries before a damage have been given by then
 */
export async function* readTarEntries(path: string): AsyncGenerator<TarEntry> {
  const gzipped = await isGzipped(path);
  const extractor = extract();
  const source = createReadStream(path, { highWaterMark: 256 * 1024 });
  const done = () => undefined; // a failure of any stage destroys the extractor, whose iteration then throws it
  if (gzipped) pipeline(source, createGunzip(), extractor, done);
  else pipeline(source, extractor, done);
  try {
    for await (const entry of extractor) {
      const { name, type, size = 0 } = entry.header;
      if (type !== "file" && type !== "contiguous-file") {
        entry.resume();
        continue;
      }
      if (size > LARGEST_ENTRY) {
        throw new UserError("too-large", `${path}: "${name}" must be at most ${LARGEST_ENTRY} bytes, got ${size}.`);
      }
      const pieces: Uint8Array[] = [];
      for await (const piece of entry as AsyncIterable<Uint8Array>) pieces.push(piece);
      yield { name: name.replace(/^\.\//, ""), bytes: Buffer.concat(pieces) };
    }
  } catch (error) {
    throw archiveError(path, error);
  } finally {
    source.destroy();
  }
}

/**
 * The bytes of a file, unpacked if it is gzipped (told by its bytes).
 *
 * @throws UserError naming the file: not-found, unreadable, unsupported (a folder), empty, corrupt
 */
export async function readUnpacked(path: string): Promise<Uint8Array> {
  const gzipped = await isGzipped(path);
  try {
    const bytes = await readFile(path);
    return gzipped ? await promisify(gunzip)(bytes) : bytes;
  } catch (error) {
    throw archiveError(path, error);
  }
}

/** A file of concatenated files, read by position. */
export interface PackedFile {
  readonly path: string;
  readonly size: number; // bytes, unpacked
  /** @throws UserError `corrupt` if the range leaves the file */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Opens a file of concatenated files. One that is gzipped as a whole is unpacked into memory; any other is read by
 * position.
 */
export async function openPackedFile(path: string): Promise<PackedFile> {
  const gzipped = await isGzipped(path);
  try {
    if (gzipped) {
      const bytes = await readUnpacked(path);
      return {
        path,
        size: bytes.length,
        read: async (offset, length) => {
          checkRange(path, offset, length, bytes.length);
          return bytes.subarray(offset, offset + length);
        },
        close: async () => undefined,
      };
    }
    const file = await open(path, "r");
    const { size } = await file.stat();
    return {
      path,
      size,
      read: (offset, length) => readRange(file, path, offset, length, size),
      close: () => file.close(),
    };
  } catch (error) {
    throw archiveError(path, error);
  }
}

async function readRange(
  file: FileHandle,
  path: string,
  offset: number,
  length: number,
  size: number,
): Promise<Uint8Array> {
  checkRange(path, offset, length, size);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new UserError("corrupt", `${path}: must not shrink while it is open.`);
    done += bytesRead;
  }
  return bytes;
}

function checkRange(path: string, offset: number, length: number, size: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) {
    if (offset + length <= size) return;
  }
  const range = `${offset} … ${offset + length}`;
  throw new UserError("corrupt", `${path}: a packed file must lie within ${size} bytes, got ${range}.`);
}

async function isGzipped(path: string): Promise<boolean> {
  try {
    const stats = await stat(path); // before opening: to open a pipe would wait for its writer
    if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a file, got a folder or a device.`);
    if (stats.size === 0) throw new UserError("empty", `${path}: must be an archive, got 0 bytes. Fetch it anew.`);
    const file = await open(path, "r");
    const start = Buffer.alloc(2);
    await file.read(start, 0, 2, 0).finally(() => file.close());
    return start.readUInt16BE(0) === 0x1f8b;
  } catch (error) {
    throw fileError(path, error);
  }
}

/** Failures of the file system keep their codes; what tar and gzip report means damage. */
function archiveError(path: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const systemFailure = error instanceof Error && "syscall" in error;
  if (systemFailure) return fileError(path, error);
  const detail = error instanceof Error ? error.message : String(error);
  const rule = `${path}: must be a whole archive, got "${detail}"`;
  return new UserError("corrupt", `${rule}. Fetch it anew.`, { cause: error });
}
