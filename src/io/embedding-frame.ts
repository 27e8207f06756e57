import { crc32 } from "node:zlib";

/** One file's embedding, and what tells whether the file is still the same. */
export interface CachedEmbedding {
  /** Absolute. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly embedding: Float32Array;
}

/** What a frame says of itself before its payload. */
export interface FrameHeader {
  readonly payloadBytes: number;
  readonly jsonBytes: number;
  readonly count: number;
  readonly checksum: number;
}

/** Bytes of a header: magic, embedding length, JSON length, record count, CRC-32 of the payload; little-endian uint32. */
export const frameHeaderBytes = 20;

const magic = 0x31424546; // "FEB1"
const maxJsonBytes = 2 ** 28;
const maxCount = 2 ** 20;

/** Lays out records as header + JSON (padded to 4 bytes) + float32 rows. */
export function encodeFrame(records: readonly CachedEmbedding[], embedDim: number): Buffer {
  const rows = records.map(({ path, size, mtimeMs }) => [path, size, mtimeMs]);
  const unpadded = JSON.stringify(rows);
  const json = Buffer.from(unpadded + " ".repeat((4 - (Buffer.byteLength(unpadded) % 4)) % 4));
  const frame = Buffer.alloc(frameHeaderBytes + json.length + records.length * embedDim * 4);
  json.copy(frame, frameHeaderBytes);
  let offset = frameHeaderBytes + json.length;
  for (const { embedding } of records) {
    for (let i = 0; i < embedDim; i++, offset += 4) frame.writeFloatLE(embedding[i], offset);
  }
  const checksum = crc32(frame.subarray(frameHeaderBytes));
  [magic, embedDim, json.length, records.length, checksum].forEach((value, i) => {
    frame.writeUInt32LE(value, 4 * i);
  });
  return frame;
}

/** Undefined when the bytes are no frame header for this embedding length. */
export function readFrameHeader(bytes: Buffer | undefined, embedDim: number): FrameHeader | undefined {
  if (!bytes || bytes.readUInt32LE(0) !== magic || bytes.readUInt32LE(4) !== embedDim) return undefined;
  const jsonBytes = bytes.readUInt32LE(8);
  const count = bytes.readUInt32LE(12);
  if (jsonBytes > maxJsonBytes || count > maxCount) return undefined;
  return { jsonBytes, count, checksum: bytes.readUInt32LE(16), payloadBytes: jsonBytes + count * embedDim * 4 };
}

/** Undefined when the payload is not what its header promises. */
export function readFramePayload(
  header: FrameHeader,
  payload: Buffer | undefined,
  embedDim: number,
): CachedEmbedding[] | undefined {
  if (!payload || crc32(payload) !== header.checksum) return undefined;
  const rows = JSON.parse(payload.toString("utf8", 0, header.jsonBytes)) as [string, number, number][];
  if (rows.length !== header.count) return undefined;
  const numbers = new Float32Array(header.count * embedDim);
  for (let i = 0; i < numbers.length; i++) numbers[i] = payload.readFloatLE(header.jsonBytes + 4 * i);
  return rows.map(([path, size, mtimeMs], i) => ({
    path,
    size,
    mtimeMs,
    embedding: numbers.subarray(i * embedDim, (i + 1) * embedDim),
  }));
}
