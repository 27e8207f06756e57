import { UserError } from "../../core/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Cuts normalised text into known pieces. */
export interface SubwordModel {
  /** How many ids there are, in the model itself. */
  readonly vocabularySize: number;
  /** Everything that decides the ids of a text. */
  readonly fingerprintParts: string;
  idOf(piece: string): number | undefined;
  encode(text: string): number[];
}

/** A text to ids, with all of its cleaning, but without special tokens and without a limit of length. */
export interface SubwordPipeline {
  readonly vocabularySize: number;
  readonly fingerprintParts: string;
  /** The id of a piece, special ones included. */
  idOf(piece: string): number | undefined;
  idsOf(text: string): number[];
}

export interface SubwordTokenizerConfig {
  readonly pipeline: SubwordPipeline;
  readonly contextLength: number; // ids of every text
  readonly prefix: readonly number[]; // special ids before the text's
  readonly suffix: readonly number[]; // and after them; kept when a text is cut
  readonly padId: number;
  /** Rows of the model's token table, where the vocabulary may have a few more; an id above them is an error. */
  readonly rows?: number | undefined;
}

/**
 * Texts to ids of one fixed length: cut, then filled up on the right. For encoders that attend to padding and so were
 * trained at one length, as SigLIP's.
 */
export class SubwordTokenizer implements Tokenizer {
  readonly contextLength: number;
  readonly padId: number;
  readonly vocabularySize: number;
  readonly #config: SubwordTokenizerConfig;

  /** @throws UserError `bad-argument` if the special ids do not fit, or one is not of the vocabulary */
  constructor(config: SubwordTokenizerConfig) {
    const { contextLength, prefix, suffix, padId, pipeline, rows = Number.POSITIVE_INFINITY } = config;
    const specials = prefix.length + suffix.length;
    if (!Number.isInteger(contextLength) || contextLength <= specials) {
      const rule = `the context length must be a whole number above its ${specials} special tokens`;
      throw new UserError("bad-argument", `SubwordTokenizer: ${rule}, got ${contextLength}.`);
    }
    this.vocabularySize = Math.min(pipeline.vocabularySize, rows);
    const strange = [...prefix, ...suffix, padId].find((id) => !(id >= 0 && id < this.vocabularySize));
    if (strange !== undefined) {
      const rule = `special ids must be below ${this.vocabularySize}`;
      throw new UserError("bad-argument", `SubwordTokenizer: ${rule}, got ${strange}.`);
    }
    this.contextLength = contextLength;
    this.padId = padId;
    this.#config = config;
  }

  get fingerprintParts(): string {
    const { pipeline, contextLength, prefix, suffix, padId } = this.#config;
    return ["fixed-length/1", contextLength, prefix.join(), suffix.join(), padId, pipeline.fingerprintParts].join("\n");
  }

  /** @throws UserError `mismatch` for a text with a piece that the model's table has no row for */
  encode(text: string): Int32Array {
    const { pipeline, contextLength, prefix, suffix, padId } = this.#config;
    const ids = new Int32Array(contextLength).fill(padId);
    const words = pipeline.idsOf(text).slice(0, contextLength - prefix.length - suffix.length);
    const above = words.find((id) => id >= this.vocabularySize);
    if (above !== undefined) {
      const rule = `Text ${JSON.stringify(text.slice(0, 60))}: its ids must be below the model's ${this.vocabularySize}`;
      throw new UserError("mismatch", `${rule}, got ${above}. Leave out the sign that only the tokenizer knows.`);
    }
    ids.set([...prefix, ...words, ...suffix]);
    return ids;
  }
}
