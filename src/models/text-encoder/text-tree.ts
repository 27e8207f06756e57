import { input, type Tensor } from "../../graph/tensor.ts";

/**
 * Texts in the graph as a tree of their tokens: what two texts share at their beginning stands there once. A causal
 * encoder gives a token the same state whatever follows it.
 */
export interface TextTree {
  ids: Tensor; // [N] int32
  positions: Tensor; // [N] int32, the token's place in its text
  visible: Tensor; // [N, N], 1 where the row's token may look at the column's: itself and what its text has before it
  ends: Tensor; // [T] int32, each text's last token
}

/** Graph inputs for a tree of `tokens` tokens and `texts` texts. */
export function textTreeInputs(tokens: number, texts: number): TextTree {
  return {
    ids: input("ids", [tokens], "int32"),
    positions: input("positions", [tokens], "int32"),
    visible: input("visible", [tokens, tokens]),
    ends: input("ends", [texts], "int32"),
  };
}
