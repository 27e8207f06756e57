import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { SentencePieceModel } from "./sentencepiece-model.ts";
import { byteNames } from "./sentencepiece-unigram.ts";

type Piece = readonly [text: string, score: number, type: number];

/** The file of a unigram model, without rules of normalisation. */
function fileOf(pieces: readonly Piece[], hasByteFallback: boolean): Uint8Array {
  const file = new BinaryWriter();
  for (const [text, score, type] of pieces) {
    file
      .uint32((1 << 3) | 2)
      .fork()
      .uint32((1 << 3) | 2)
      .string(text)
      .uint32((2 << 3) | 5)
      .float(score);
    file
      .uint32(3 << 3)
      .int32(type)
      .join();
  }
  file
    .uint32((2 << 3) | 2)
    .fork()
    .uint32(35 << 3)
    .bool(hasByteFallback)
    .join();
  return file.finish();
}

const words: Piece[] = [
  ["<unk>", 0, 2],
  ["▁", -2, 1],
  ["a", -3, 1],
  ["▁a", -2.5, 1],
  ["ab", 0, 4],
];
const bytes: Piece[] = byteNames.map((name) => [name, 0, 6]);

describe("SentencePieceModel", () => {
  it("makes bytes of what no piece covers, and one piece of a user-defined text", () => {
    const model = new SentencePieceModel(fileOf([...words, ...bytes], true));
    expect(model.encode("a é")).toEqual([3, 1, 5 + 0xc3, 5 + 0xa9]);
    expect(model.encode("aba <0x41>").slice(0, 4)).toEqual([1, 4, 2, 1]);
    expect(model.encode("<0x41>").slice(1)).toEqual(Array.from("<0x41>", (each) => 5 + each.charCodeAt(0)));
  });

  it("makes one unknown piece of a run where there is no byte fallback", () => {
    expect(new SentencePieceModel(fileOf(words, false)).encode("a éé")).toEqual([3, 1, 0]);
  });

  it.each([
    ["a byte that is missing", [...words, ...bytes.slice(1)], true, /byte fallback, got no <0x00>/],
    ["bytes that are not asked for", [...words, ...bytes], false, /got 256 without/],
    ["an empty piece", [...words, ["", 0, 4] as const], false, /got an empty one/],
  ])("refuses %s", (_, pieces, hasByteFallback, message) => {
    expect(() => new SentencePieceModel(fileOf(pieces, hasByteFallback))).toThrow(message);
  });
});
