import { describe, expect, it } from "vitest";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { DynamicGraph } from "../graph/dynamic-axes.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { textTowerGraph, textTreeGraph } from "../models/tower-graphs.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { initialWeights, namedParameters } from "../nn/module.ts";
import { InferenceSession } from "../runtime/inference-session.ts";
import { embedTokenized } from "./text-batches.ts";
import { embedTextTrees, feedsOfTree, type TokenTree } from "./text-trees.ts";

/** A token a letter between a start and an end; the id is the letter's code. */
const tokenizer: Tokenizer = {
  contextLength: 40,
  padId: 0,
  vocabularySize: 128,
  fingerprintParts: "letters",
  encode: (text) => Int32Array.from(`<${text.slice(0, 38)}>`, (letter) => letter.charCodeAt(0)),
};

/** Embeds as [number of tokens, the ids as a number in base 31] of all that the last token sees. */
async function embed(texts: readonly string[], signal = new AbortController().signal) {
  const trees: TokenTree[] = [];
  const run = async (tree: TokenTree) => {
    trees.push(tree);
    const found = new Float32Array(tree.ends.length * 2);
    for (const [text, end] of tree.ends.entries()) found.set(numbersOf(pathOf(tree, end)), text * 2);
    return found;
  };
  return { found: await embedTextTrees(texts, { tokenizer, width: 2, run, signal }), trees };
}

/** Ids of the tokens that one sees, by their positions. */
function pathOf({ ids, positions, visible }: TokenTree, token: number): number[] {
  const path: number[] = [];
  const row = visible.subarray(token * ids.length, (token + 1) * ids.length);
  for (const [other, seen] of row.entries()) {
    if (!seen) continue;
    expect(path[positions[other]]).toBeUndefined(); // one token a place
    path[positions[other]] = ids[other];
  }
  return path;
}

function numbersOf(ids: readonly number[]): [number, number] {
  return [ids.length, Math.fround(ids.reduce((sum, id) => (sum * 31 + id) % 1_000_003, 0))];
}

const names = Array.from({ length: 300 }, (_, i) => `${"abcdefgh"[i % 8].repeat(1 + (i % 5))} ${i}`);
const texts = ["a photo of a ", "a drawing of the ", ""].flatMap((start) => names.map((name) => `${start}${name}.`));
const expected = texts.flatMap((text) => numbersOf([...tokenizer.encode(text)]));

describe("embedTextTrees", () => {
  it("lets the last token of every text see exactly its text, results in the order given", async () => {
    const { found } = await embed(texts);
    expect([...found]).toEqual(expected);
  });

  it("computes beginnings once a tree and equal texts once, in trees of 256 tokens at most", async () => {
    const { trees } = await embed([...texts, ...texts]);
    const computed = trees.reduce((sum, { ids }) => sum + ids.length, 0);
    const given = texts.reduce((sum, text) => sum + tokenizer.encode(text).length, 0);
    expect(computed).toBeLessThan(0.45 * given);
    expect(trees.every(({ ids }) => ids.length <= 256)).toBe(true);
    expect(trees.every(({ ids, ends }) => ids.length % 16 === 0 && ends.length % 16 === 0)).toBe(true);
  });

  it("tells apart a text that another begins with, and takes a text of one tree's length or more", async () => {
    const long: Tokenizer = { ...tokenizer, encode: (text) => Int32Array.from({ length: text.length }, (_, i) => i) };
    const lengths = [300, 2, 1, 300, 257, 2];
    const seen: number[] = [];
    const run = async (tree: TokenTree) =>
      Float32Array.from(tree.ends, (end) => {
        seen.push(tree.ids.length);
        return pathOf(tree, end).length;
      });
    const found = await embedTextTrees(
      lengths.map((length) => "x".repeat(length)),
      { tokenizer: long, width: 1, run, signal: new AbortController().signal },
    );
    expect([...found]).toEqual(lengths);
    expect(Math.max(...seen)).toBe(304);
  });

  it("stops between trees when it is aborted, and takes no texts at all", async () => {
    await expect(embed(texts, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    expect((await embed([])).found).toHaveLength(0);
  });
});

describe("textTreeGraph", () => {
  const text = { vocabulary: 128, contextLength: 40, width: 32, heads: 4, layers: 3 };
  const config: TwoTowerConfig = {
    image: {
      ...{ kind: "vit", imageSize: 16, patch: 8, width: 16, heads: 2, layers: 1, mlpRatio: 4 },
      ...{ activation: "gelu", mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] },
    },
    text: { kind: "clip-transformer", ...text, activation: "quick-gelu" },
    embedding: 24,
  };

  it("gives every text of a tree the embedding that it has in a padded batch", async () => {
    const tower = new TwoTower(config);
    const weights = initialWeights(tower, "text trees");
    for (const data of weights.values()) for (let i = 0; i < data.length; i++) data[i] *= 4; // far from linear
    const load = async (graph: DynamicGraph) =>
      InferenceSession.load(encodeOnnx({ ...graph, parameters: namedParameters(tower), weights }));
    const [batches, trees] = [await load(textTowerGraph(tower, 40)), await load(textTreeGraph(tower))];
    const signal = new AbortController().signal;
    const padded = await embedTokenized(texts, {
      ...{ tokenizer, isOpen: true, width: 24, signal },
      run: (ids, mask, rows) => {
        const dims = [rows, ids.length / rows];
        return batches.run({ ids: { data: ids, dims }, mask: { data: mask, dims } }, "embedding");
      },
    });
    const run = (tree: TokenTree) => trees.run(feedsOfTree(tree), "embedding");
    const found = await embedTextTrees(texts, { tokenizer, width: 24, run, signal });
    const largest = padded.reduce((most, value, i) => Math.max(most, Math.abs(value - found[i])), 0);
    expect(found).toHaveLength(texts.length * 24);
    expect(largest).toBeLessThan(1e-5);
    expect(Math.abs(found[0] - found[24])).toBeGreaterThan(1e-3);
    await Promise.all([batches.release(), trees.release()]);
  });

  it("is refused for a text encoder in which a token's state depends on what follows it", () => {
    const tower = new TwoTower({ ...config, text: { kind: "sentence-encoder", ...text, hidden: 64 } });
    expect(tower.readsTextTrees).toBe(false);
    expect(() => textTreeGraph(tower)).toThrow("must be causal");
  });
});
