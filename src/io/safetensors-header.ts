import { UserError } from "../core/errors.ts";

/** Bytes of one element, for every dtype that is read. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** An element type of the safetensors format that this reader knows. */
export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** Where one tensor lies: bytes `begin` … `end` of the data section. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: number[];
  readonly count: number; // elements
  readonly begin: number;
  readonly end: number;
}

/**
 * Validates the JSON header of a safetensors file: known dtypes, sizes that agree with shapes, and tensors that cover
 * the data section without hole or overlap, as the format demands.
 *
 * @param dataBytes  length of the data section
 * @returns          entries in the order of their bytes
 * @throws           UserError naming `path` and the tensor: corrupt or unsupported
 */
export function parseSafetensorsHeader(
  path: string,
  json: Uint8Array,
  dataBytes: number,
): { entries: SafetensorsEntry[]; metadata: Record<string, string> } {
  const header = parseJsonObject(path, json);
  const metadata: Record<string, string> = {};
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") entries.push(parseEntry(path, name, value));
    else if (isRecord(value)) for (const [key, text] of Object.entries(value)) metadata[key] = String(text);
    else throw corrupt(path, `"__metadata__" must be an object of texts, got ${describe(value)}`);
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (end > dataBytes) {
      throw corrupt(path, `"${name}" must end within ${dataBytes} data bytes, got ${end}: the file is truncated`);
    }
    if (begin < covered) throw corrupt(path, `"${name}" must not overlap another tensor, got byte ${begin}`);
    if (begin > covered) throw corrupt(path, `bytes ${covered} to ${begin} must belong to a tensor, got none`);
    covered = end;
  }
  if (covered !== dataBytes) throw corrupt(path, `tensors must cover ${dataBytes} data bytes, got ${covered}`);
  return { entries, metadata };
}

function parseJsonObject(path: string, json: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (error) {
    throw corrupt(path, "header must be JSON in UTF-8, got other bytes", error);
  }
  if (!isRecord(header)) throw corrupt(path, `header must be a JSON object, got ${describe(header)}`);
  return header;
}

function parseEntry(path: string, name: string, value: unknown): SafetensorsEntry {
  if (!isRecord(value)) throw corrupt(path, `"${name}" must be an object, got ${describe(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") throw corrupt(path, `"${name}" must have a dtype, got ${describe(dtype)}`);
  if (!Object.hasOwn(DTYPE_BYTES, dtype)) {
    const known = Object.keys(DTYPE_BYTES).join(", ");
    throw new UserError("unsupported", `${path}: dtype of "${name}" must be one of ${known}, got ${dtype}.`);
  }
  if (!isCountList(shape)) throw corrupt(path, `shape of "${name}" must be whole numbers, got ${describe(shape)}`);
  if (!isCountList(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw corrupt(path, `data_offsets of "${name}" must be [begin, end], got ${describe(offsets)}`);
  }
  const [begin, end] = offsets;
  const known = dtype as SafetensorsDtype;
  const count = shape.reduce((product, side) => product * side, 1);
  const bytes = count * DTYPE_BYTES[known];
  if (bytes !== end - begin) {
    throw corrupt(path, `"${name}" (${dtype} [${shape}]) must have ${bytes} bytes, got ${end - begin}`);
  }
  return { name, dtype: known, shape, count, begin, end };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function describe(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 60) ?? "nothing";
}

function corrupt(path: string, finding: string, cause?: unknown): UserError {
  return new UserError("corrupt", `${path}: ${finding}. Fetch or write the file anew.`, { cause });
}
