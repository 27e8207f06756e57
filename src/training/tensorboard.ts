import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileError } from "../io/file-errors.ts";

/**
 * Writes TensorBoard event files: records of the TFRecord format (length, masked CRC-32C, protobuf `Event`). One
 * file a session; a resumed session tells TensorBoard to forget what an earlier file holds from its first step on.
 */
export class TensorBoardWriter {
  readonly path: string;
  readonly #file: number;
  readonly #now: () => number;

  /** `resumedStep`: updates done before this session. `now`: seconds since 1970, replaceable in tests. */
  constructor(folder: string, resumedStep = 0, now: () => number = () => Date.now() / 1000) {
    this.#now = now;
    [this.path, this.#file] = createFile(folder, Math.floor(now()));
    this.#write(0, bytesField(EVENT.fileVersion, new TextEncoder().encode("brain.Event:2")));
    if (resumedStep > 0) this.#write(resumedStep + 1, bytesField(EVENT.sessionLog, varintField(1, SESSION_START)));
  }

  /** Adds the values measured after update `step`, such as `{"train/loss": 2.3, "train/learning_rate": 1e-3}`. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const entries = Object.entries(values).map(([tag, value]) =>
      bytesField(1, concat(bytesField(1, new TextEncoder().encode(tag)), floatField(2, value))),
    );
    this.#write(step, bytesField(EVENT.summary, concat(...entries)));
  }

  /** Adds an RGB picture, given as a PNG file's bytes. */
  image(step: number, tag: string, png: Uint8Array, width: number, height: number): void {
    const picture = concat(varintField(1, height), varintField(2, width), varintField(3, 3), bytesField(4, png));
    const value = concat(bytesField(1, new TextEncoder().encode(tag)), bytesField(4, picture));
    this.#write(step, bytesField(EVENT.summary, bytesField(1, value)));
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(step: number, content: Uint8Array): void {
    const event = concat(doubleField(EVENT.wallTime, this.#now()), varintField(EVENT.step, step), content);
    try {
      writeSync(this.#file, tfRecord(event));
    } catch (error) {
      throw fileError(this.path, error);
    }
  }
}

/** Frames bytes as one TFRecord: uint64 length, its checksum, the bytes, their checksum; little-endian. */
export function tfRecord(content: Uint8Array): Uint8Array {
  const record = new Uint8Array(content.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(content.length), true);
  view.setUint32(8, maskedChecksum(record.subarray(0, 8)), true);
  record.set(content, 12);
  view.setUint32(12 + content.length, maskedChecksum(content), true);
  return record;
}

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = CRC_TABLE[(remainder ^ byte) & 0xff] ^ (remainder >>> 8);
  return ~remainder >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let remainder = index;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0x82f63b78 : 0);
  return remainder;
});

/** The checksum rotated and offset, as the format wants, because records may hold checksums themselves. */
function maskedChecksum(bytes: Uint8Array): number {
  const checksum = crc32c(bytes);
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282ead8) >>> 0;
}

// Field numbers of tensorflow/core/util/event.proto.
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SESSION_START = 1;

/** A new file; another number is appended if two sessions start in the same second. */
function createFile(folder: string, seconds: number): [path: string, file: number] {
  for (let session = 0; ; session++) {
    const path = join(folder, `events.out.tfevents.${String(seconds).padStart(10, "0")}.florence.${session}`);
    try {
      mkdirSync(folder, { recursive: true });
      return [path, openSync(path, "wx")];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || session > 1000) throw fileError(path, error);
    }
  }
}

// --- the four protobuf wire types in use ---

function varintField(field: number, value: number): Uint8Array {
  return Uint8Array.from([...varint(field << 3), ...varint(value)]);
}

function doubleField(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = (field << 3) | 1;
  new DataView(bytes.buffer).setFloat64(1, value, true);
  return bytes;
}

function bytesField(field: number, content: Uint8Array): Uint8Array {
  return concat(Uint8Array.from([...varint((field << 3) | 2), ...varint(content.length)]), content);
}

function floatField(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = (field << 3) | 5;
  new DataView(bytes.buffer).setFloat32(1, value, true);
  return bytes;
}

function varint(value: number): number[] {
  const low = value % 128;
  return value < 128 ? [low] : [low + 128, ...varint(Math.floor(value / 128))];
}

function concat(...parts: Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
