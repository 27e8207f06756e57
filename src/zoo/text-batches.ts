import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";

export interface TextBatchOptions {
  readonly tokenizer: Tokenizer;
  /** Whether a run takes any number of tokens; otherwise all texts are filled up to the context. */
  readonly isOpen: boolean;
  /** Numbers of an embedding. */
  readonly width: number;
  /** Runs the text tower on [rows, tokens]. */
  readonly run: (ids: Int32Array, mask: Float32Array, rows: number) => Promise<Float32Array>;
  readonly signal: AbortSignal;
}

/** Tokens a run, padding included: enough to fill the matrix kernels, few enough to stop soon. */
const tokensPerRun = 1024;
/** Lengths are rounded up to a multiple, so that few shapes are met. */
const lengthStep = 4;

/**
 * Embeds texts in runs of nearly equal lengths, shortest first: a long text costs its neighbours no padding.
 *
 * @returns [texts, width], in the order given
 */
export async function embedTokenized(texts: readonly string[], options: TextBatchOptions): Promise<Float32Array> {
  const { tokenizer, isOpen, width, run, signal } = options;
  const rows = texts.map((text) => tokenizer.encode(text));
  const lengthOf = (index: number): number => {
    const rounded = Math.ceil(Math.max(1, rows[index].length) / lengthStep) * lengthStep;
    return isOpen ? Math.min(rounded, tokenizer.contextLength) : tokenizer.contextLength;
  };
  const order = [...rows.keys()].sort((a, b) => lengthOf(a) - lengthOf(b) || a - b);
  const results = new Float32Array(texts.length * width);
  for (let from = 0; from < order.length; ) {
    signal.throwIfAborted();
    const group = takeRun(order, from, lengthOf);
    const length = lengthOf(group.at(-1) as number);
    const ids = new Int32Array(group.length * length).fill(tokenizer.padId);
    const mask = new Float32Array(group.length * length);
    for (const [i, index] of group.entries()) {
      ids.set(rows[index], i * length);
      mask.fill(1, i * length, i * length + rows[index].length);
    }
    const found = await run(ids, mask, group.length);
    for (const [i, index] of group.entries()) results.set(found.subarray(i * width, (i + 1) * width), index * width);
    from += group.length;
  }
  return results;
}

/** The next texts whose padded table has at most `tokensPerRun` tokens; one at least. */
function takeRun(order: readonly number[], from: number, lengthOf: (index: number) => number): readonly number[] {
  let end = from + 1;
  while (end < order.length && (end + 1 - from) * lengthOf(order[end]) <= tokensPerRun) end++;
  return order.slice(from, end);
}
