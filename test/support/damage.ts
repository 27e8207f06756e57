import { crc32, deflateRawSync } from "node:zlib";
import type { Rng } from "../../src/core/rng.ts";

/** A family's tiny checkpoint in test/fixtures/checkpoints, and the files of it that are damaged. */
export const damagedFamilies: Readonly<Record<string, readonly string[]>> = {
  "clip-hugging-face": ["config.json", "preprocessor_config.json", "merges.txt", "model.safetensors"],
  "open-clip": ["open_clip_config.json", "merges.txt", "open_clip_model.safetensors"],
  siglip: ["config.json", "preprocessor_config.json", "spiece.model", "model.safetensors"],
  siglip2: ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"],
  unicl: ["unicl.yaml", "merges.txt", "unicl.pth"],
  "unicl-older-names": ["config.yaml", "merges.txt", "unicl.pth"],
  openai: ["merges.txt", "ViT-tiny.pt"],
};

/** Makes something else of a file's bytes. `others` are whole files of other kinds. */
type Damage = (good: Buffer, rng: Rng, others: readonly Buffer[]) => Buffer;

const pick = <Value>(values: readonly Value[], rng: Rng): Value => values[rng.int(values.length)];

/** A place in the file: in its first two kilobytes, where headers are, more often than not. */
function placeIn(bytes: Buffer, rng: Rng): number {
  return rng.int(Math.max(1, rng.uniform() < 0.7 ? Math.min(2048, bytes.length) : bytes.length));
}

function changed(good: Buffer, rng: Rng, change: (byte: number) => number): Buffer {
  const bytes = Buffer.from(good);
  for (let k = rng.int(8); k >= 0; k--) {
    const at = placeIn(bytes, rng);
    bytes[at] = change(bytes[at]);
  }
  return bytes;
}

/** A safetensors file with another header, whose stated length is right. */
function withHeader(good: Buffer, header: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, good.subarray(8 + Number(good.readBigUInt64LE(0)))]);
}

/** The text in a file that can be edited: a safetensors header, or the whole of a text file. */
function editText(good: Buffer, edit: (text: string) => string): Buffer {
  const headerLength = good.length > 8 ? Number(good.readBigUInt64LE(0)) : 0;
  const isSafetensors = headerLength > 0 && headerLength < good.length && good[8] === 0x7b;
  if (!isSafetensors) return Buffer.from(edit(good.toString("latin1")), "latin1");
  return withHeader(good, Buffer.from(edit(good.subarray(8, 8 + headerLength).toString("latin1")), "latin1"));
}

function replaceMatch(good: Buffer, rng: Rng, pattern: RegExp, replacement: string): Buffer {
  return editText(good, (text) => {
    const matches = [...text.slice(0, 8192).matchAll(pattern)];
    if (matches.length === 0) return replacement + text;
    const { index, 0: found } = pick(matches, rng) as RegExpExecArray;
    return text.slice(0, index) + replacement + text.slice(index + found.length);
  });
}

const hugeNumbers = ["99999999999", "-1", "1e308", "0", "0.5", "18446744073709551616", "9007199254740993"];
const otherValues = ["null", "true", '"text"', "[]", "{}", "[[1, 2], 3]", "-7", '{"a": {"b": 1}}'];
const nested = ["[", '{"a":', "{a: ", "(", "- "];

/** Every kind of damage, by what a table of outcomes calls it. */
export const damages: Readonly<Record<string, Damage>> = {
  truncated: (good, rng) => good.subarray(0, rng.int(good.length)),
  empty: () => Buffer.alloc(0),
  "bytes changed": (good, rng) => changed(good, rng, () => rng.int(256)),
  "bits flipped": (good, rng) => changed(good, rng, (byte) => byte ^ (1 << rng.int(8))),
  "bytes put in": (good, rng) => {
    const at = placeIn(good, rng);
    return Buffer.concat([good.subarray(0, at), Buffer.alloc(1 + rng.int(64), rng.int(256)), good.subarray(at)]);
  },
  "length fields": (good, rng) => {
    const huge = pick([0xffffffff, 0x7fffffff, 0x80000000, 1 << 30, 0, good.length], rng);
    const anywhere = rng.int(3) === 0 ? rng.int(8) : Math.max(0, good.length - rng.int(4096)); // a zip's are at its end
    const bytes = Buffer.from(good);
    if (bytes.length >= anywhere + 4) bytes.writeUInt32LE(huge >>> 0, anywhere);
    return bytes;
  },
  "huge numbers": (good, rng) => replaceMatch(good, rng, /\d+/g, pick(hugeNumbers, rng)),
  "wrong types": (good, rng) =>
    replaceMatch(good, rng, /(?<=[:,[] ?)("[^"]*"|-?[\d.]+|true|false|null)/g, pick(otherValues, rng)),
  "deep nesting": (good, rng) => replaceMatch(good, rng, /\d+/g, pick(nested, rng).repeat(10 ** (2 + rng.int(4)))),
  "another file": (_good, rng, others) => pick(others, rng),
  "zip or pickle bomb": (_good, rng) => pick(bombs(), rng),
};

/** The pickle of a dictionary that holds itself, and lists of lists by tens of thousands. */
function picklesWithoutEnd(): Buffer[] {
  const self = Buffer.from([0x80, 2, 0x7d, 0x71, 0, 0x58, 1, 0, 0, 0, 0x61, 0x68, 0, 0x73, 0x2e]); // d = {}; d["a"] = d
  const deep = Buffer.concat([
    Buffer.from([0x80, 2]),
    Buffer.alloc(1e6, 0x28),
    Buffer.alloc(1e6, 0x74),
    Buffer.from("."),
  ]);
  const module = (content: string) => `c__torch__.m\nA\n)\x81q\x00}(${content}ub`;
  const inItself = Buffer.from(`\x80\x02${module("X\x01\x00\x00\x00bh\x00")}.`, "latin1");
  let shared = "\x80\x02c__torch__.m\nA\n)\x81}bq\x00"; // each of 40 modules holds the one before twice: 2⁴⁰ paths
  for (let i = 0; i < 40; i++) {
    const before = `h${String.fromCharCode(i)}`;
    const pair = `X\x01\x00\x00\x00a${before}X\x01\x00\x00\x00b${before}`;
    shared += `c__torch__.m\nA\n)\x81}(${pair}ubq${String.fromCharCode(i + 1)}`;
  }
  return [self, deep, inItself, Buffer.from(`${shared}.`, "latin1")];
}

let madeBombs: Buffer[] | undefined;

function bombs(): Buffer[] {
  madeBombs ??= [
    ...picklesWithoutEnd().map((pickle) => zipOf("archive/data.pkl", pickle, pickle, 0)),
    zipOf("archive/data.pkl", deflateRawSync(Buffer.alloc(64e6)), Buffer.alloc(0), 8, 64e9),
    zipOf("archive/data.pkl", Buffer.from("."), Buffer.from("."), 0, 0xfffffff0),
    withHeader(
      Buffer.alloc(8),
      Buffer.from('{"a":{"dtype":"F32","shape":[2147483647,4194304],"data_offsets":[0,9007199254740992]}}'),
    ),
    Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(64, 0x7b)]), // a header of a terabyte
  ];
  return madeBombs;
}

/** A zip file of one entry that states a length of its own. */
function zipOf(name: string, stored: Buffer, content: Buffer, method: number, length = content.length): Buffer {
  const field = (size: 2 | 4, value: number) => {
    const bytes = Buffer.alloc(size);
    bytes.writeUIntLE(value % 2 ** (8 * size), 0, size);
    return bytes;
  };
  const sizes = [field(4, crc32(content)), field(4, method === 0 ? length : stored.length), field(4, length)];
  const shared = [
    field(2, 20),
    field(2, 0),
    field(2, method),
    field(4, 0),
    ...sizes,
    field(2, name.length),
    field(2, 0),
  ];
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), ...shared, Buffer.from(name), stored]);
  const rest = [field(2, 0), field(2, 0), field(2, 0), field(4, 0), field(4, 0), Buffer.from(name)];
  const central = Buffer.concat([Buffer.from("PK\x01\x02"), field(2, 20), ...shared, ...rest]);
  const counts = [field(4, 0), field(2, 1), field(2, 1), field(4, central.length), field(4, local.length), field(2, 0)];
  return Buffer.concat([local, central, Buffer.from("PK\x05\x06"), ...counts]);
}
