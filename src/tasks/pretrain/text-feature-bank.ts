import { UserError } from "../../core/errors.ts";
import { encodeBatch, type Tokenizer } from "../../data/tokenizers/tokenizer.ts";
import { readMatrixFile, writeMatrixFile } from "../../io/matrix-file.ts";
import { textInputs } from "../../models/text-encoder/text-batch.ts";
import type { TextEncoder } from "../../models/text-encoder/text-encoder.ts";
import { namedParameters } from "../../nn/module.ts";
import { compile, type Program } from "../../runtime/program.ts";

const batchSize = 64;

/**
 * Features of every text a training may draw, by a frozen text encoder, computed once ahead and scaled to length 1. Texts go through in a
 * fixed order and fixed batches, so that a resumed run has the very same features.
 */
export class TextFeatureBank {
  readonly width: number;
  readonly #features: Float32Array;
  readonly #rows: ReadonlyMap<string, number>;

  private constructor(width: number, features: Float32Array, rows: ReadonlyMap<string, number>) {
    this.width = width;
    this.#features = features;
    this.#rows = rows;
  }

  static async create(options: {
    encoder: TextEncoder;
    weights: ReadonlyMap<string, Float32Array>; // of the encoder alone
    tokenizer: Tokenizer;
    texts: Iterable<string>;
    /** A file to keep them in; its name must stand for the encoder and the texts. */
    cachePath?: string;
    onProgress?: (done: number, total: number) => void;
  }): Promise<TextFeatureBank> {
    const { encoder, weights, tokenizer } = options;
    // By token count first, so that a batch holds little padding.
    const texts = [...new Set(options.texts)]
      .map((text) => ({ text, tokens: tokenizer.encode(text).length }))
      .sort((a, b) => a.tokens - b.tokens || (a.text < b.text ? -1 : 1));
    const width = encoder.features;
    const rows = new Map(texts.map(({ text }, row) => [text, row]));
    const cached = options.cachePath && (await readMatrixFile(options.cachePath, texts.length, width));
    if (cached) return new TextFeatureBank(width, cached, rows);
    const features = new Float32Array(texts.length * width);
    const parameters = namedParameters(encoder);
    let program: { length: number; value: Program } | undefined;
    for (let from = 0; from < texts.length; from += batchSize) {
      const group = texts.slice(from, from + batchSize).map(({ text }) => text);
      while (group.length < batchSize) group.push("");
      const { ids, mask, length } = encodeBatch(tokenizer, group);
      if (program?.length !== length) {
        await program?.value.dispose();
        const outputs = { features: encoder.forward(textInputs(batchSize, length)) };
        program = { length, value: await compile({ outputs, parameters, weights }) };
      }
      const result = await program.value.run({ "text.ids": ids, "text.mask": mask });
      const wanted = Math.min(batchSize, texts.length - from) * width;
      features.set((result.features as Float32Array).subarray(0, wanted), from * width);
      options.onProgress?.(Math.min(from + batchSize, texts.length), texts.length);
    }
    await program?.value.dispose();
    normalizeRows(features, width);
    if (options.cachePath) await writeMatrixFile(options.cachePath, features, width);
    return new TextFeatureBank(width, features, rows);
  }

  /** Copies the feature of `text` into row `row` of `target`. */
  copy(text: string, target: Float32Array, row: number): void {
    const at = this.#rows.get(text);
    if (at === undefined)
      throw new UserError("mismatch", `TextFeatureBank: "${text}" was not among the texts it was made for`);
    target.set(this.#features.subarray(at * this.width, (at + 1) * this.width), row * this.width);
  }
}

function normalizeRows(matrix: Float32Array, width: number): void {
  for (let start = 0; start < matrix.length; start += width) {
    const row = matrix.subarray(start, start + width);
    const scale = 1 / Math.sqrt(row.reduce((total, value) => total + value * value, 0));
    for (let i = 0; i < width; i++) row[i] *= scale;
  }
}
