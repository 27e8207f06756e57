import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { Feed } from "../runtime/inference-session.ts";

/** Texts as a tree of their tokens, parents first; as the inputs of `textTreeGraph`. */
export interface TokenTree {
  readonly ids: Int32Array; // [N]
  readonly positions: Int32Array; // [N]
  readonly visible: Float32Array; // [N, N]
  readonly ends: Int32Array; // [T]
}

export interface TextTreeOptions {
  readonly tokenizer: Tokenizer;
  /** Numbers of an embedding. */
  readonly width: number;
  /** Runs the text tower; gives [T, width]. */
  readonly run: (tree: TokenTree) => Promise<Float32Array>;
  readonly signal: AbortSignal;
}

/** Tokens a tree: enough to fill the matrix kernels, few enough that looking at all the others costs little. */
const tokensPerTree = 256;
/** Counts are rounded up to a multiple, so that the runtime meets few shapes. */
const countStep = 16;

/**
 * Embeds texts of a causal encoder with every common beginning computed once a run: the class names in a template share
 * the words before the name. Texts in the order of their tokens share most with their neighbours; equal ones are one.
 *
 * @returns [texts, width], in the order given
 */
export async function embedTextTrees(texts: readonly string[], options: TextTreeOptions): Promise<Float32Array> {
  const { tokenizer, width, run, signal } = options;
  const rows = texts.map((text) => tokenizer.encode(text));
  const order = [...rows.keys()].sort((a, b) => compareRows(rows[a], rows[b]));
  const sorted = order.map((index) => rows[index]);
  const results = new Float32Array(texts.length * width);
  for (let from = 0; from < order.length; ) {
    signal.throwIfAborted();
    const { tree, textOf } = takeTree(sorted, from);
    const found = await run(tree);
    for (const [i, text] of textOf.entries()) {
      results.set(found.subarray(text * width, (text + 1) * width), order[from + i] * width);
    }
    from += textOf.length;
  }
  return results;
}

/** What a run of `textTreeGraph` is given. */
export function feedsOfTree({ ids, positions, visible, ends }: TokenTree): Record<keyof TokenTree, Feed> {
  const tokens = ids.length;
  return {
    ids: { data: ids, dims: [tokens] },
    positions: { data: positions, dims: [tokens] },
    visible: { data: visible, dims: [tokens, tokens] },
    ends: { data: ends, dims: [ends.length] },
  };
}

/** Token by token; the shorter first where one begins the other. */
function compareRows(a: Int32Array, b: Int32Array): number {
  const shared = sharedLength(a, b);
  return (a[shared] ?? -1) - (b[shared] ?? -1);
}

function sharedLength(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < most && a[shared] === b[shared]) shared++;
  return shared;
}

/**
 * The tree of the next rows, as many as `tokensPerTree` has room for; one at least.
 *
 * @param rows  token ids, sorted; one a row at least
 * @returns     `textOf`: for each row that is in the tree the place of its end among `ends`
 */
function takeTree(rows: readonly Int32Array[], from: number): { tree: TokenTree; textOf: readonly number[] } {
  const ids: number[] = [];
  const parents: number[] = [];
  const positions: number[] = [];
  const ends: number[] = [];
  const textOf: number[] = [];
  let path: number[] = []; // the places of the last row's tokens
  let before: Int32Array = new Int32Array();
  for (let index = from; index < rows.length; index++) {
    const row = rows[index];
    const shared = sharedLength(before, row);
    if (textOf.length > 0 && ids.length + row.length - shared > tokensPerTree) break;
    path = path.slice(0, shared);
    for (let position = shared; position < row.length; position++) {
      parents.push(path.at(-1) ?? -1);
      path.push(ids.length);
      ids.push(row[position]);
      positions.push(position);
    }
    const end = path.at(-1) as number;
    if (ends.at(-1) !== end) ends.push(end);
    textOf.push(ends.length - 1);
    before = row;
  }
  // The filling: tokens that nobody looks at, and texts that nobody asked for.
  const tokens = Math.ceil(ids.length / countStep) * countStep;
  while (ids.length < tokens) {
    ids.push(ids[0]);
    positions.push(0);
    parents.push(-1);
  }
  while (ends.length % countStep) ends.push(ends[0]);
  const tree = { ids: Int32Array.from(ids), positions: Int32Array.from(positions), ends: Int32Array.from(ends) };
  return { tree: { ...tree, visible: visibilityOf(parents) }, textOf };
}

/** Each token sees what its parent sees, and itself; parents come first. */
function visibilityOf(parents: readonly number[]): Float32Array {
  const tokens = parents.length;
  const visible = new Float32Array(tokens * tokens);
  for (const [token, parent] of parents.entries()) {
    if (parent >= 0) visible.copyWithin(token * tokens, parent * tokens, parent * tokens + parent + 1);
    visible[token * tokens + token] = 1;
  }
  return visible;
}
