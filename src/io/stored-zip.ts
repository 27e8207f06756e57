import type { FileHandle } from "node:fs/promises";
import { UserError } from "../core/errors.ts";

/** Where an uncompressed entry's bytes stand in a zip file. */
export interface StoredEntry {
  readonly start: number;
  readonly length: number; // bytes
}

const signature = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 };
const endLength = 22;
const largestComment = 65_535;
const largestDirectory = 64 * 2 ** 20;
const in64 = 0xffffffff; // the value stands in the zip64 field instead
const decoder = new TextDecoder();

/**
 * The entries of a zip file whose content is stored as it is, by name: what large weights are kept in, so that they can be
 * read in place. Own code because the file may be hostile: every offset is checked against the file before it is used,
 * and none is taken for an allocation.
 *
 * @throws UserError `corrupt` if an entry or the directory lies outside the file, `unsupported` if it is no zip file
 */
export async function storedEntries(path: string, file: FileHandle): Promise<Map<string, StoredEntry>> {
  const { size } = await file.stat();
  const corrupt = (what: string): UserError =>
    new UserError("corrupt", `${path}: must be a whole zip archive, got ${what}. Fetch it anew.`);
  const read = async (start: number, length: number): Promise<DataView> => {
    if (!(start >= 0 && length >= 0 && start + length <= size)) throw corrupt("an offset beyond its end");
    const bytes = new Uint8Array(length);
    const { bytesRead } = await file.read(bytes, 0, length, start);
    if (bytesRead < length) throw corrupt("fewer bytes than it has");
    return new DataView(bytes.buffer);
  };
  if (size < endLength || (await read(0, 4)).getUint32(0, true) !== signature.local) {
    const rule = "must be a zip archive, as torch.save of PyTorch 1.6 and later writes";
    throw new UserError("unsupported", `${path}: ${rule}, got other content. Save it anew with a later PyTorch.`);
  }
  const { start, length } = await findDirectory(size, read, corrupt);
  if (length > largestDirectory) throw corrupt(`a directory of ${length} bytes`);
  const directory = await read(start, length);
  const entries = new Map<string, StoredEntry>();
  for (let at = 0; at < length; ) {
    const entry = readCentralEntry(directory, at, corrupt);
    at = entry.next;
    if (entry.isCompressed) continue; // code of TorchScript archives, say: nobody's weights
    const local = await read(entry.localHeader, 30);
    if (local.getUint32(0, true) !== signature.local) throw corrupt(`no entry where ${entry.name} should be`);
    const data = entry.localHeader + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    if (data + entry.length > size) throw corrupt(`${entry.name} reaching beyond its end`);
    entries.set(entry.name, { start: data, length: entry.length });
  }
  return entries;
}

type Reader = (start: number, length: number) => Promise<DataView>;

/** Where the central directory stands, by the record that ends the file, or its 64-bit sibling. */
async function findDirectory(size: number, read: Reader, corrupt: (what: string) => UserError): Promise<StoredEntry> {
  const tailLength = Math.min(size, endLength + largestComment);
  const tail = await read(size - tailLength, tailLength);
  for (let at = tailLength - endLength; at >= 0; at--) {
    if (tail.getUint32(at, true) !== signature.end) continue;
    const [length, start] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
    const locatorAt = size - tailLength + at - 20;
    if ((length !== in64 && start !== in64) || locatorAt < 0) return { start, length };
    const locator = await read(locatorAt, 20);
    if (locator.getUint32(0, true) !== signature.locator64) return { start, length };
    const end = await read(Number(locator.getBigUint64(8, true)), 56);
    if (end.getUint32(0, true) !== signature.end64) throw corrupt("no zip64 record where it should be");
    return { start: Number(end.getBigUint64(48, true)), length: Number(end.getBigUint64(40, true)) };
  }
  throw corrupt("no directory at its end");
}

function readCentralEntry(directory: DataView, at: number, corrupt: (what: string) => UserError) {
  if (at + 46 > directory.byteLength || directory.getUint32(at, true) !== signature.central) {
    throw corrupt("a damaged directory");
  }
  const nameLength = directory.getUint16(at + 28, true);
  const extraLength = directory.getUint16(at + 30, true);
  const extra = at + 46 + nameLength;
  const next = extra + extraLength + directory.getUint16(at + 32, true);
  if (next > directory.byteLength) throw corrupt("a damaged directory");
  const name = decoder.decode(new Uint8Array(directory.buffer, at + 46, nameLength));
  const short = [at + 24, at + 20, at + 42].map((offset) => directory.getUint32(offset, true));
  const [length, packed, localHeader] = wideValues(directory, extra, extra + extraLength, short);
  const isCompressed = directory.getUint16(at + 10, true) !== 0;
  if (!isCompressed && length !== packed) throw corrupt(`two lengths of ${name}`);
  return { name, length, localHeader, isCompressed, next };
}

/** Length, packed length and offset of an entry; those that are all ones stand in its zip64 field, in that order. */
function wideValues(directory: DataView, from: number, to: number, short: readonly number[]): number[] {
  for (let at = from; at + 4 <= to; at += 4 + directory.getUint16(at + 2, true)) {
    if (directory.getUint16(at, true) !== 1) continue;
    let wide = at + 4;
    return short.map((value) => {
      if (value !== in64 || wide + 8 > to) return value;
      wide += 8;
      return Number(directory.getBigUint64(wide - 8, true));
    });
  }
  return [...short];
}
