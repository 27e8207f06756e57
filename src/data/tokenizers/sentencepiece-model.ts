import { BinaryReader } from "@bufbuild/protobuf/wire";
import { UserError } from "../../core/errors.ts";
import { CharacterMap } from "./character-map.ts";
import { byteNames, UnigramModel, type UnigramPiece } from "./sentencepiece-unigram.ts";
import { UserDefinedPieces } from "./user-defined-pieces.ts";

/** SentencePiece's mark of a space. */
export const spaceMark = "▁";

const pieceTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
const unigramType = 1;
const smallestFloat = 2 ** -126; // that single precision has in full

interface NormalizerSpec {
  rules: Uint8Array;
  addsDummyPrefix: boolean;
  removesExtraSpaces: boolean;
  escapesSpaces: boolean;
}

/** A unigram model with its own normalisation, read from the binary file that SentencePiece trains. */
export class SentencePieceModel {
  readonly unigram: UnigramModel;
  readonly #spec: NormalizerSpec;
  readonly #rules: CharacterMap | undefined;
  readonly #userDefined: UserDefinedPieces;
  readonly #utf8 = new TextEncoder();

  /** @throws UserError `corrupt` if the bytes are no such model, `unsupported` for one that is not a unigram model */
  constructor(file: Uint8Array) {
    const { pieces, modelType, hasByteFallback, spec } = readModel(file);
    if (modelType !== unigramType) {
      throw new UserError("unsupported", `the model must be of type unigram (1), got type ${modelType}.`);
    }
    const { normal, unknown, userDefined } = pieceTypes;
    const normalScores = pieces.filter(({ type }) => type === normal).map(({ score }) => score);
    const highest = normalScores.reduce((high, score) => Math.max(high, score), smallestFloat);
    const lengthOf = (text: string): number => this.#utf8.encode(text).length;
    const unigramPieces: UnigramPiece[] = pieces.map(({ text, score, type }) => ({
      text,
      // Above every other way to cut the same text.
      score: type === userDefined ? Math.fround(lengthOf(text) * highest) - 0.1 : score,
      matches: type === normal || type === userDefined,
      isNormal: type === normal,
    }));
    const unknownId = pieces.findIndex(({ type }) => type === unknown);
    const byteIds = byteIdsOf(pieces, hasByteFallback);
    this.unigram = new UnigramModel(unigramPieces, unknownId, { precision: "single", byteIds });
    this.#userDefined = new UserDefinedPieces(
      pieces.filter(({ type }) => type === userDefined).map(({ text }) => text),
    );
    this.#spec = spec;
    this.#rules = spec.rules.length > 0 ? new CharacterMap(spec.rules) : undefined;
  }

  get fingerprintParts(): string {
    const { rules, ...flags } = this.#spec;
    return ["sentencepiece/1", JSON.stringify(flags), rules.join(), this.unigram.fingerprintParts].join("\n");
  }

  encode(text: string): number[] {
    return this.unigram.encode(this.normalize(text));
  }

  /** The text as pieces see it: rules applied, longest first, and spaces collapsed and marked. */
  normalize(text: string): string {
    const { addsDummyPrefix, removesExtraSpaces, escapesSpaces } = this.#spec;
    const mark = escapesSpaces ? spaceMark : " ";
    const bytes = this.#utf8.encode(text);
    let normalized = "";
    let followsSpace = removesExtraSpaces;
    let isStarted = !addsDummyPrefix;
    for (let at = 0; at < bytes.length; ) {
      const { length, replacement } = this.#next(bytes, at);
      at += length;
      const kept = followsSpace ? replacement.replace(/^ +/, "") : replacement;
      if (kept !== "") {
        if (!isStarted) normalized += mark; // before the first that is kept, so that no text makes no mark
        isStarted = true;
        normalized += kept.replaceAll(" ", mark);
        followsSpace = kept.endsWith(" ");
      }
      if (!removesExtraSpaces) followsSpace = false;
    }
    if (!removesExtraSpaces) return normalized;
    let end = normalized.length;
    while (end > 0 && normalized[end - 1] === mark) end--;
    return normalized.slice(0, end);
  }

  #next(bytes: Uint8Array, at: number): { length: number; replacement: string } {
    const kept = this.#userDefined.matchAt(bytes, at);
    if (kept) return kept;
    let longest: { length: number; place: number } | undefined;
    if (this.#rules) for (const match of this.#rules.matches(bytes, at)) longest = match;
    if (longest) return { length: longest.length, replacement: (this.#rules as CharacterMap).textAt(longest.place) };
    const length = bytes[at] < 0x80 ? 1 : bytes[at] < 0xe0 ? 2 : bytes[at] < 0xf0 ? 3 : 4;
    return { length, replacement: decoder.decode(bytes.subarray(at, at + length)) };
  }
}

/** Ids of the 256 bytes where unknown characters become bytes. @throws UserError `corrupt` if one is missing, or not asked for */
function byteIdsOf(pieces: StoredModel["pieces"], hasByteFallback: boolean): number[] | undefined {
  const ids = new Map(pieces.flatMap(({ text, type }, id) => (type === pieceTypes.byte ? [[text, id] as const] : [])));
  if (!hasByteFallback) {
    if (ids.size === 0) return undefined;
    throw new UserError("corrupt", `the model must have byte pieces for byte fallback alone, got ${ids.size} without.`);
  }
  return byteNames.map((name) => {
    const id = ids.get(name);
    if (id !== undefined) return id;
    throw new UserError("corrupt", `the model must have all bytes, for its byte fallback, got no ${name}.`);
  });
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

interface StoredModel {
  pieces: { text: string; score: number; type: number }[];
  modelType: number;
  hasByteFallback: boolean;
  spec: NormalizerSpec;
}

/** Reads the fields of `sentencepiece_model.proto` that decide ids. */
function readModel(file: Uint8Array): StoredModel {
  const model: StoredModel = {
    pieces: [],
    modelType: unigramType,
    hasByteFallback: false,
    spec: { rules: new Uint8Array(), addsDummyPrefix: true, removesExtraSpaces: true, escapesSpaces: true },
  };
  try {
    readMessage(file, {
      1: (reader) => {
        const piece = { text: "", score: 0, type: pieceTypes.normal as number };
        readMessage(reader.bytes(), {
          1: (field) => (piece.text = field.string()),
          2: (field) => (piece.score = field.float()),
          3: (field) => (piece.type = field.int32()),
        });
        model.pieces.push(piece);
      },
      2: (reader) =>
        readMessage(reader.bytes(), {
          3: (field) => (model.modelType = field.int32()),
          35: (field) => (model.hasByteFallback = field.bool()),
        }),
      3: (reader) =>
        readMessage(reader.bytes(), {
          2: (field) => (model.spec.rules = field.bytes()),
          3: (field) => (model.spec.addsDummyPrefix = field.bool()),
          4: (field) => (model.spec.removesExtraSpaces = field.bool()),
          5: (field) => (model.spec.escapesSpaces = field.bool()),
        }),
    });
  } catch (error) {
    const message = `the file must be a SentencePiece model, got: ${(error as Error).message}.`;
    throw new UserError("corrupt", message, { cause: error });
  }
  const empty =
    model.pieces.length === 0 ? "no pieces" : model.pieces.some(({ text }) => text === "") ? "an empty one" : "";
  if (empty !== "") throw new UserError("corrupt", `the file must be a SentencePiece model of pieces, got ${empty}.`);
  return model;
}

function readMessage(bytes: Uint8Array, fields: Readonly<Record<number, (reader: BinaryReader) => unknown>>): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const read = fields[number];
    if (read) read(reader);
    else reader.skip(type, number);
  }
}
