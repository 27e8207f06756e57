import { sub } from "../../graph/elementwise.ts";
import { pad, slice } from "../../graph/shaping.ts";
import { input, type Tensor } from "../../graph/tensor.ts";

/** A batch of tokenised texts in the graph, padded at the end to one length. */
export interface TextBatch {
  ids: Tensor; // [B, N] int32
  mask: Tensor; // [B, N] float32, 1 for a token and 0 for padding
}

/** Graph inputs for `texts` of `tokens` each: `${prefix}ids` and `${prefix}mask`. */
export function textInputs(texts: number, tokens: number, prefix = "text."): TextBatch {
  return {
    ids: input(`${prefix}ids`, [texts, tokens], "int32"),
    mask: input(`${prefix}mask`, [texts, tokens]),
  };
}

/** 1 at the last token of each text, else 0; [B, N]. */
export function lastTokenMask(mask: Tensor): Tensor {
  const tokens = mask.shape[1];
  return sub(mask, pad(slice(mask, 1, 1, tokens), 1, 0, 1));
}
