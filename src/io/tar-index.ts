import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";

/** Where a regular file of an uncompressed tar archive lies. */
export interface TarMember {
  readonly name: string; // path inside the archive, without a leading "./"
  readonly offset: number; // of its first byte in the archive
  readonly length: number; // bytes
}

const block = 512;
const longestHeader = 2 ** 20; // bytes of a long name or a pax record

/**
 * The regular files of an uncompressed tar archive by their places, in order; only headers are read. Long names and
 * sizes of GNU and pax headers are honoured (POSIX.1-2017, pax).
 *
 * @throws UserError naming the archive: not-found, unreadable, empty, corrupt (no tar, truncated). Members before a
 *         damage have been given by then
 */
export async function* indexTar(path: string): AsyncGenerator<TarMember> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw fileError(path, error);
  }
  try {
    const { size } = await file.stat();
    if (size === 0) throw new UserError("empty", `${path}: must be a tar archive, got 0 bytes. Fetch it anew.`);
    yield* members(path, file, size);
  } catch (error) {
    throw fileError(path, error);
  } finally {
    await file.close();
  }
}

async function* members(path: string, file: FileHandle, size: number): AsyncGenerator<TarMember> {
  let overrides: { name?: string; length?: number } = {}; // of the next member, from the headers before it
  for (let at = 0; at + block <= size; ) {
    const header = await readAt(file, at, block);
    if (header.every((byte) => byte === 0)) return; // the end mark
    checkSum(path, header, at);
    const length = overrides.length ?? octal(path, header, 124, 12, at);
    const type = String.fromCharCode(header[156]);
    const offset = at + block;
    at = offset + Math.ceil(length / block) * block;
    if (offset + length > size) {
      const rule = `${path}: "${overrides.name ?? nameOf(header)}" must lie within the archive's ${size} bytes`;
      throw new UserError("corrupt", `${rule}, got an end at ${offset + length}. Fetch it anew.`);
    }
    if (type === "L" || type === "x") {
      if (length > longestHeader)
        throw new UserError("corrupt", `${path}: a header must be short, got ${length} bytes.`);
      const bytes = await readAt(file, offset, length);
      overrides = { ...overrides, ...(type === "L" ? { name: untilZero(bytes) } : paxFields(bytes)) };
      continue;
    }
    if (type === "g" || type === "K") continue; // defaults for all, or a long link name: nothing that places a file
    const name = (overrides.name ?? nameOf(header)).replace(/^\.\//, "");
    overrides = {};
    if (type === "0" || type === "\0" || type === "7") yield { name, offset, length };
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new UserError("corrupt", "tar: must not shrink while it is read.");
    done += bytesRead;
  }
  return bytes;
}

/** The sum of all header bytes, its own field counted as spaces; some writers add the bytes as signed numbers. */
function checkSum(path: string, header: Buffer, at: number): void {
  const stated = octal(path, header, 148, 8, at);
  let unsigned = 8 * 32;
  let signed = 8 * 32;
  for (let i = 0; i < block; i++) {
    if (i >= 148 && i < 156) continue;
    unsigned += header[i];
    signed += header.readInt8(i);
  }
  if (stated === unsigned || stated === signed) return;
  throw new UserError("corrupt", `${path}: must be a whole tar archive, got no header at ${at}. Fetch it anew.`);
}

function octal(path: string, header: Buffer, start: number, width: number, at: number): number {
  if (header[start] & 0x80) {
    // GNU's form for sizes from 8 GiB on: a big-endian number
    let value = header[start] & 0x7f;
    for (let i = start + 1; i < start + width; i++) value = value * 256 + header[i];
    return value;
  }
  const text = header
    .toString("latin1", start, start + width)
    .replaceAll("\0", " ")
    .trim();
  if (/^[0-7]*$/.test(text)) return text === "" ? 0 : Number.parseInt(text, 8);
  throw new UserError("corrupt", `${path}: must be a tar archive, got no header at ${at}. Fetch it anew.`);
}

function nameOf(header: Buffer): string {
  const name = untilZero(header.subarray(0, 100));
  const isUstar = header.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? untilZero(header.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

/** Records of the form "30 path=some/name\n", the number being the record's length in bytes. */
function paxFields(bytes: Buffer): { name?: string; length?: number } {
  const fields: { name?: string; length?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(bytes.toString("latin1", at, space));
    if (!Number.isInteger(length) || length <= 0) break; // padding, or damage that the next checksum finds
    const [key, ...rest] = bytes.toString("utf8", space + 1, at + length - 1).split("=");
    if (key === "path") fields.name = rest.join("=");
    if (key === "size") fields.length = Number(rest.join("="));
    at += length;
  }
  return fields;
}
