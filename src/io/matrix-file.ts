import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { writeFileAtomic } from "./atomic-files.ts";

/** Bytes of the header: magic, rows, columns, CRC-32 of the numbers; little-endian uint32. */
const headerBytes = 16;
const magic = 0x314d4c46; // "FLM1"

/** Writes a float32 matrix [rows × columns], whole or not at all. */
export async function writeMatrixFile(path: string, numbers: Float32Array, columns: number): Promise<void> {
  const bytes = Buffer.alloc(headerBytes + numbers.length * 4);
  for (let i = 0; i < numbers.length; i++) bytes.writeFloatLE(numbers[i], headerBytes + 4 * i);
  [magic, numbers.length / columns, columns, crc32(bytes.subarray(headerBytes))].forEach((value, i) => {
    bytes.writeUInt32LE(value, 4 * i);
  });
  await writeFileAtomic(path, bytes);
}

/** Reads what `writeMatrixFile` wrote; undefined when the file is absent, damaged or of another shape. */
export async function readMatrixFile(path: string, rows: number, columns: number): Promise<Float32Array | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch {
    return undefined; // a cache: what cannot be read is made again
  }
  const length = rows * columns;
  if (bytes.length !== headerBytes + length * 4) return undefined;
  const header = [0, 4, 8, 12].map((offset) => bytes.readUInt32LE(offset));
  if (header[0] !== magic || header[1] !== rows || header[2] !== columns) return undefined;
  if (header[3] !== crc32(bytes.subarray(headerBytes))) return undefined;
  return Float32Array.from({ length }, (_, i) => bytes.readFloatLE(headerBytes + 4 * i));
}
