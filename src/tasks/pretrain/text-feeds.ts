import { encodeBatch, type Tokenizer } from "../../data/tokenizers/tokenizer.ts";
import type { ContrastiveBatch } from "./contrastive-objective.ts";
import type { TextFeatureBank } from "./text-feature-bank.ts";

/** How the texts of a batch are handed to the graph. */
export type TextSource =
  | { kind: "features"; bank: TextFeatureBank }
  | { kind: "tokens"; tokenizer: Tokenizer; length: number };

/** The texts of a batch as the graph's inputs, one row each. */
export function feedTexts(source: TextSource, texts: readonly string[]): ContrastiveBatch["texts"] {
  if (source.kind === "features") {
    const { bank } = source;
    const data = new Float32Array(texts.length * bank.width);
    for (const [i, text] of texts.entries()) bank.copy(text, data, i);
    return { "text.features": { data, width: bank.width } };
  }
  // One fixed length, so that every step runs the same program.
  const { tokenizer, length } = source;
  const batch = encodeBatch(tokenizer, texts);
  const ids = new Int32Array(texts.length * length).fill(tokenizer.padId);
  const mask = new Float32Array(texts.length * length);
  const copied = Math.min(batch.length, length);
  for (let row = 0; row < texts.length; row++) {
    const from = row * batch.length;
    ids.set(batch.ids.subarray(from, from + copied), row * length);
    mask.set(batch.mask.subarray(from, from + copied), row * length);
  }
  return { "text.ids": { data: ids, width: length }, "text.mask": { data: mask, width: length } };
}
