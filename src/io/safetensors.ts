import { type FileHandle, open, stat } from "node:fs/promises";
import { UserError } from "../core/errors.ts";
import { decodeBfloat16, decodeFloat16, encodeFloat16, FLOAT16_MAX } from "../core/float16.ts";
import { writeAtomically } from "./atomic-files.ts";
import { fileError } from "./file-errors.ts";
import { parseSafetensorsHeader, type SafetensorsDtype, type SafetensorsEntry } from "./safetensors-header.ts";

/** A tensor to be written: row-major values of a shape. */
export interface WeightTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor as read: `dtype` is the stored one, `data` its values as float32. */
export interface StoredTensor {
  readonly dtype: SafetensorsDtype;
  readonly shape: number[];
  readonly data: Float32Array;
}

/** The content of a safetensors file, tensors in file order. */
export interface SafetensorsFile {
  readonly tensors: Map<string, StoredTensor>;
  readonly metadata: Record<string, string>;
}

const LARGEST_READ = 2 ** 30; // one system call reads less than 2 GiB

/**
 * Reads every tensor of a safetensors file as float32. F16, BF16 and small integers convert exactly; F64 and integers
 * over 2²⁴ to the nearest float32.
 *
 * @throws UserError naming the file: not-found, unreadable, empty, corrupt (truncated, bad header, overlapping or
 *         out-of-range tensors), unsupported (a dtype we do not know)
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  return withHeader(path, async (file, { entries, metadata, dataStart }) => {
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) {
      const data = await readEntry(file, path, entry, dataStart);
      tensors.set(entry.name, { dtype: entry.dtype, shape: entry.shape, data });
    }
    return { tensors, metadata };
  });
}

/** Names, dtypes, shapes and metadata of a safetensors file, without reading its values. Throws as readSafetensors. */
export async function readSafetensorsHeader(
  path: string,
): Promise<{ entries: SafetensorsEntry[]; metadata: Record<string, string> }> {
  return withHeader(path, async (_file, { entries, metadata }) => ({ entries, metadata }));
}

/**
 * Writes tensors, in the map's order, as one safetensors file; atomic. F16 rounds to nearest, ties to even.
 *
 * @throws UserError if a shape and its data disagree, or a value does not fit float16
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, WeightTensor>,
  options: { dtype?: "F32" | "F16"; metadata?: Record<string, string> } = {},
): Promise<void> {
  const dtype = options.dtype ?? "F32";
  const header: Record<string, unknown> = {};
  if (options.metadata && Object.keys(options.metadata).length > 0) header.__metadata__ = options.metadata;
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    const count = shape.reduce((product, side) => product * side, 1);
    if (count !== data.length || name === "__metadata__") {
      throw new UserError("mismatch", `${path}: tensor "${name}" of shape [${shape}] got ${data.length} values.`);
    }
    const bytes = data.length * (dtype === "F16" ? 2 : 4);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const json = Buffer.from(JSON.stringify(header), "utf8");
  const padded = Math.ceil(json.length / 8) * 8; // spaces, so that the data starts aligned
  const start = Buffer.alloc(8 + padded, " ");
  start.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(start, 8);
  await writeAtomically(path, async (file) => {
    await file.writeFile(start);
    for (const [name, { data }] of tensors) {
      const values = dtype === "F16" ? toHalves(path, name, data) : data;
      await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  });
}

interface OpenedHeader {
  entries: SafetensorsEntry[];
  metadata: Record<string, string>;
  dataStart: number;
}

async function withHeader<T>(path: string, use: (file: FileHandle, header: OpenedHeader) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    const stats = await stat(path); // before opening: to open a pipe would wait for its writer
    if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a file, got a folder or a device.`);
    file = await open(path, "r");
    if (stats.size === 0) throw new UserError("empty", `${path}: must be a safetensors file, got 0 bytes.`);
    const prefix = await readBytes(file, path, new Uint8Array(Math.min(8, stats.size)), 0);
    const length = prefix.length < 8 ? Number.NaN : Number(Buffer.from(prefix.buffer).readBigUInt64LE(0));
    if (!(length <= stats.size - 8)) {
      const got = Number.isNaN(length) ? "no length field" : `a header of ${length} bytes`;
      throw new UserError(
        "corrupt",
        `${path}: header must fit the file's ${stats.size} bytes, got ${got}. Fetch it anew.`,
      );
    }
    if (length > 100_000_000) {
      throw new UserError("corrupt", `${path}: header must be under 100 MB, got ${length} bytes. Is it safetensors?`);
    }
    const json = await readBytes(file, path, new Uint8Array(length), 8);
    return await use(file, { ...parseSafetensorsHeader(path, json, stats.size - 8 - length), dataStart: 8 + length });
  } catch (error) {
    throw fileError(path, error);
  } finally {
    await file?.close();
  }
}

async function readBytes(file: FileHandle, path: string, target: Uint8Array, position: number): Promise<Uint8Array> {
  for (let done = 0; done < target.length; ) {
    const length = Math.min(LARGEST_READ, target.length - done);
    const { bytesRead } = await file.read(target, done, length, position + done);
    if (bytesRead === 0) throw new UserError("corrupt", `${path}: must not shrink while it is read. Retry.`);
    done += bytesRead;
  }
  return target;
}

async function readEntry(
  file: FileHandle,
  path: string,
  entry: SafetensorsEntry,
  dataStart: number,
): Promise<Float32Array> {
  if (entry.dtype === "F32") {
    const data = new Float32Array(entry.count); // read in place: no second copy of a large model
    await readBytes(file, path, new Uint8Array(data.buffer), dataStart + entry.begin);
    return data;
  }
  const bytes = new Uint8Array(entry.end - entry.begin);
  await readBytes(file, path, bytes, dataStart + entry.begin);
  return toFloat32(entry.dtype, bytes.buffer);
}

/** Little-endian values of a dtype as float32. Every platform Node supports is little-endian. */
export function toFloat32(dtype: SafetensorsDtype, buffer: ArrayBuffer): Float32Array {
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return decodeFloat16(new Uint16Array(buffer));
    case "BF16":
      return decodeBfloat16(new Uint16Array(buffer));
    case "F64":
      return Float32Array.from(new Float64Array(buffer));
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer), Number);
    case "U64":
      return Float32Array.from(new BigUint64Array(buffer), Number);
    case "I32":
      return Float32Array.from(new Int32Array(buffer));
    case "U32":
      return Float32Array.from(new Uint32Array(buffer));
    case "I16":
      return Float32Array.from(new Int16Array(buffer));
    case "U16":
      return Float32Array.from(new Uint16Array(buffer));
    case "I8":
      return Float32Array.from(new Int8Array(buffer));
    case "U8":
    case "BOOL":
      return Float32Array.from(new Uint8Array(buffer));
  }
}

function toHalves(path: string, name: string, data: Float32Array): Uint16Array {
  for (let i = 0; i < data.length; i++) {
    if (Math.abs(data[i]) > FLOAT16_MAX) {
      const got = `${data[i]} at ${i}`;
      throw new UserError("bad-argument", `${path}: "${name}" must fit float16 (±65504), got ${got}. Write it as F32.`);
    }
  }
  return encodeFloat16(data);
}
