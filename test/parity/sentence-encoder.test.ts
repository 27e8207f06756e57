import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mul, sum } from "../../src/graph/broadcasting.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { normalizeL2 } from "../../src/graph/softmax.ts";
import { constant, type Tensor } from "../../src/graph/tensor.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { SentenceEncoder } from "../../src/models/text-encoder/sentence-encoder.ts";
import { textInputs } from "../../src/models/text-encoder/text-batch.ts";
import { namedParameters } from "../../src/nn/module.ts";
import { compile, type FeedData } from "../../src/runtime/program.ts";
import { importSentenceEncoder } from "../../src/zoo/sentence-transformers.ts";
import { type Fixture, readFixture, relativeError } from "./read-fixture.ts";

const bertPrefixes = ["embeddings.", "encoder."];

/** BERT's names of what one of our parameters was made from. */
function bertNames(name: string): string[] {
  const fixed: Record<string, string> = {
    tokenEmbedding: "embeddings.word_embeddings.weight",
    positionEmbedding: "embeddings.position_embeddings.weight",
    "norm.weight": "embeddings.LayerNorm.weight",
    "norm.bias": "embeddings.LayerNorm.bias",
  };
  if (name in fixed) return [fixed[name]];
  const [, layer, owner, leaf] = /^blocks\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) as RegExpExecArray;
  const owners: Record<string, string[]> = {
    "attn.qkv": ["query", "key", "value"].map((part) => `attention.self.${part}`),
    "attn.proj": ["attention.output.dense"],
    norm1: ["attention.output.LayerNorm"],
    fc1: ["intermediate.dense"],
    fc2: ["output.dense"],
    norm2: ["output.LayerNorm"],
  };
  return owners[owner].map((bert) => `encoder.layer.${layer}.${bert}.${leaf}`);
}

describe("the sentence encoder against PyTorch's BERT in float64", () => {
  let fixture: Fixture;
  let results: Record<string, Float32Array>;
  let names: string[];
  let folder: string;
  let tolerance: number;
  let width: number;

  beforeAll(async () => {
    fixture = await readFixture("minilm-tiny");
    tolerance = fixture.json<number>("tolerance");
    folder = await mkdtemp(join(tmpdir(), "florence-bert-"));
    const bert = { ...fixture.json<object>("config"), model_type: "bert", hidden_act: "gelu" };
    await writeFile(join(folder, "config.json"), JSON.stringify(bert));
    const stored = [...fixture.tensors].filter(([name]) => bertPrefixes.some((prefix) => name.startsWith(prefix)));
    await writeSafetensors(join(folder, "model.safetensors"), new Map(stored));
    const { config, weights } = await importSentenceEncoder(folder);
    width = config.width;

    const encoder = new SentenceEncoder(config);
    const parameters = namedParameters(encoder);
    names = [...parameters.keys()];
    const ids = fixture.tensor("ids");
    const [texts, tokens] = ids.shape;
    const pooled = encoder.forward(textInputs(texts, tokens));
    const embedding = normalizeL2(pooled);
    const loss = sum(mul(embedding, constant(fixture.tensor("cotangent").data, embedding.shape)));
    const found = gradients(loss, [...parameters.values()]);
    const outputs: Record<string, Tensor> = { pooled, embedding };
    for (const [i, name] of [...parameters.keys()].entries()) outputs[`gradient.${name}`] = found[i] as Tensor;
    const program = await compile({ outputs, parameters, threads: 1 });
    const feeds = new Map<string, FeedData>(weights)
      .set("text.ids", Int32Array.from(ids.data))
      .set("text.mask", fixture.tensor("mask").data);
    results = (await program.run(feeds)) as Record<string, Float32Array>;
    await program.dispose();
  });

  afterAll(() => rm(folder, { recursive: true }));

  it("pools the same features from texts of unequal length", () => {
    expect(relativeError(results.pooled, fixture.tensor("pooled").data)).toBeLessThan(tolerance);
    expect(relativeError(results.embedding, fixture.tensor("embedding").data)).toBeLessThan(tolerance);
  });

  it("has the same gradient in every parameter", () => {
    const seen = new Set<string>();
    for (const name of names) {
      const parts = bertNames(name);
      for (const part of parts) seen.add(part);
      const reference = parts.flatMap((part) => [...fixture.tensor(`gradient.${part}`).data]);
      expect(relativeError(results[`gradient.${name}`], reference), name).toBeLessThan(tolerance);
    }
    const all = [...fixture.tensors.keys()].filter((name) => bertPrefixes.some((prefix) => name.startsWith(prefix)));
    expect(all.filter((name) => !seen.has(name))).toEqual(["embeddings.token_type_embeddings.weight"]);
  });

  it("gives the first segment's embedding, which the positions hold, the sum of their gradients", () => {
    const positions = results["gradient.positionEmbedding"];
    const total = Array.from({ length: width }, (_, channel) => {
      let value = 0;
      for (let i = channel; i < positions.length; i += width) value += positions[i];
      return value;
    });
    const segments = fixture.tensor("gradient.embeddings.token_type_embeddings.weight").data;
    expect(relativeError(total, segments.subarray(0, width))).toBeLessThan(tolerance);
    expect(segments.subarray(width).every((value) => value === 0)).toBe(true);
  });
});
