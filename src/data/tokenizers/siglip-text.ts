import { SentencePieceModel, spaceMark } from "./sentencepiece-model.ts";
import type { SubwordPipeline } from "./subword-tokenizer.ts";

/** What Python's `str.isspace` accepts. */
const pythonSpaces = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const spaces = new RegExp(pythonSpaces, "g");
const outerSpaces = new RegExp(`^${pythonSpaces}|${pythonSpaces}$`, "g");

/** SigLIP's canonical form of a text: lower case, no ASCII punctuation, single spaces. Zhai et al., arXiv:2303.15343. */
export function canonicalizeSiglipText(text: string): string {
  return text
    .toLowerCase() // of the whole, as in the reference: a sigma that ends a word has a form of its own
    .replace(/[!-/:-@[-`{-~]/g, "")
    .replace(spaces, " ")
    .replace(outerSpaces, "");
}

/**
 * SigLIP's texts to the pieces of its `spiece.model`, as the transformers library's `SiglipTokenizer` cuts them.
 * Differs: the names of special pieces inside a text are plain text, so that no caller can inject them.
 */
export class SiglipPieces implements SubwordPipeline {
  readonly #model: SentencePieceModel;
  readonly #guard: string;
  readonly #guardLength: number;

  /** @param file  the bytes of `spiece.model`. @throws UserError `corrupt`, `unsupported` */
  constructor(file: Uint8Array) {
    this.#model = new SentencePieceModel(file);
    // The reference puts this text in front and takes its pieces off again, which keeps the mark before the first word.
    this.#guard = "<unk>";
    this.#guardLength = this.#model.encode(this.#guard).length;
  }

  get vocabularySize(): number {
    return this.#model.unigram.vocabularySize;
  }

  get fingerprintParts(): string {
    return ["siglip-text/2", this.#model.fingerprintParts].join("\n");
  }

  idOf(piece: string): number | undefined {
    return this.#model.unigram.idOf(piece);
  }

  idsOf(text: string): number[] {
    const wellFormed = text.replace(/[\ud800-\udfff]/gu, "\ufffd").replaceAll(spaceMark, " ");
    const canonical = canonicalizeSiglipText(spaceMark + wellFormed);
    return this.#model.encode(this.#guard + canonical).slice(this.#guardLength);
  }
}
