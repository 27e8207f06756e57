import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyVocabulary } from "../../test/e2e/tiny-pretraining.ts";
import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { Rng } from "../core/rng.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { TwoTower, type TwoTowerConfig } from "../models/two-tower.ts";
import { initialWeights } from "../nn/module.ts";
import type { FlorenceModel } from "./florence-model.ts";
import { loadModel } from "./load-model.ts";
import { saveModel } from "./save-model.ts";

const architecture: TwoTowerConfig = {
  image: {
    kind: "vit",
    imageSize: 16,
    patch: 8,
    width: 16,
    heads: 2,
    layers: 1,
    mlpRatio: 2,
    activation: "gelu",
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
  },
  text: {
    kind: "sentence-encoder",
    vocabulary: tinyVocabulary.length,
    contextLength: 24,
    width: 16,
    heads: 2,
    layers: 1,
    hidden: 32,
  },
  embedding: 8,
};

let root = "";
let folder = "";
let model: FlorenceModel;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-load-model-"));
  folder = await saved("whole");
  model = await loadModel(folder);
});

afterAll(async () => {
  await model.dispose();
  await rm(root, { recursive: true, force: true });
});

async function saved(name: string): Promise<string> {
  const weights = initialWeights(new TwoTower(architecture), "load-model");
  await saveModel(join(root, name), {
    name: "tiny",
    architecture,
    weights,
    tokenizer: { kind: "wordpiece", vocabulary: tinyVocabulary },
  });
  return join(root, name);
}

/** A saved model whose tensors were changed behind its back. */
async function withTensors(name: string, change: (tensors: Map<string, WeightTensor>) => void): Promise<string> {
  const changed = await saved(name);
  const path = join(changed, "model.safetensors");
  const { tensors } = await readSafetensors(path);
  const copy = new Map<string, WeightTensor>([...tensors].map(([key, { shape, data }]) => [key, { shape, data }]));
  change(copy);
  await writeSafetensors(path, copy, { dtype: "F16", metadata: {} });
  return changed;
}

async function errorOf(path: string): Promise<UserError> {
  const error: unknown = await loadModel(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

function images(count: number): RgbImage[] {
  const rng = new Rng("images");
  return Array.from({ length: count }, (_, i) => {
    const [width, height] = [16 + i, 20];
    return { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => rng.int(256)) };
  });
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}

describe("loadModel", () => {
  it("knows the model's name, width and logit scale", () => {
    expect(model).toMatchObject({ name: "tiny", embedDim: 8 });
    expect(model.logitScale).toBeCloseTo(1 / 0.07, 1);
    expect(model.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  it("embeds an image alone as in a batch of 9 or 33", async () => {
    const many = images(33);
    const whole = await model.embedImages(many);
    const nine = await model.embedImages(many.slice(0, 9));
    for (const i of [0, 8]) {
      const [alone] = await model.embedImages([many[i]]);
      expect(largestDifference(alone, whole[i])).toBeLessThan(1e-5);
      expect(largestDifference(alone, nine[i])).toBeLessThan(1e-5);
      expect(Math.hypot(...alone)).toBeCloseTo(1, 5);
    }
    expect(largestDifference(whole[0], whole[32])).toBeGreaterThan(1e-4);
  });

  it("embeds a text alone as beside longer ones, whose padding it then carries", async () => {
    const texts = ["a b", "a much longer text of many words", "c", ...Array.from({ length: 8 }, () => "dog")];
    const together = await model.embedTexts(texts);
    for (const [i, text] of texts.slice(0, 4).entries()) {
      const [alone] = await model.embedTexts([text]);
      expect(largestDifference(alone, together[i]), text).toBeLessThan(1e-5);
      expect(Math.hypot(...alone)).toBeCloseTo(1, 5);
    }
    expect(largestDifference(together[0], together[2])).toBeGreaterThan(1e-4);
  });

  it("embeds nothing as nothing", async () => {
    expect(await model.embedImages([])).toEqual([]);
    expect(await model.embedTexts([])).toEqual([]);
  });

  it("names a missing tensor", async () => {
    const { code, message } = await errorOf(await withTensors("missing", (all) => all.delete("textProjection.weight")));
    expect(code).toBe("mismatch");
    expect(message).toContain("textProjection.weight");
    expect(message).toContain("model.safetensors");
  });

  it("names a vocabulary of another length than the model's", async () => {
    const folder = await saved("short-vocabulary");
    await writeFile(join(folder, "vocab.txt"), `${tinyVocabulary.slice(0, -1).join("\n")}\n`);
    const { code, message } = await errorOf(folder);
    expect(code).toBe("mismatch");
    expect(message).toContain(`got ${tinyVocabulary.length - 1}`);
    expect(message).toContain(folder);
  });

  it("names an extra tensor", async () => {
    const extra = { shape: [1], data: new Float32Array(1) };
    const { code, message } = await errorOf(await withTensors("extra", (all) => all.set("surplus", extra)));
    expect(code).toBe("mismatch");
    expect(message).toContain("surplus");
  });

  it("names a misshapen tensor and both shapes", async () => {
    const path = await withTensors("misshapen", (all) =>
      all.set("imageProjection.weight", { shape: [2, 2], data: new Float32Array(4) }),
    );
    const { code, message } = await errorOf(path);
    expect(code).toBe("mismatch");
    for (const part of ["imageProjection.weight", "[8, 16]", "[2, 2]"]) expect(message).toContain(part);
  });

  it.each([
    ["text that is no JSON", "{", "corrupt"],
    ["another format", JSON.stringify({ format: "other" }), "unsupported"],
  ])("names a config.json with %s", async (_what, content, code) => {
    const path = join(await saved("config"), "config.json");
    await writeFile(path, content);
    const error = await errorOf(join(root, "config"));
    expect(error.code).toBe(code);
    expect(error.message).toContain(path);
  });

  it.each(["vocab.txt", "model.safetensors"])("names a missing %s", async (file) => {
    const path = join(await saved("without"), file);
    await rm(path);
    const error = await errorOf(join(root, "without"));
    expect(error.code).toBe("not-found");
    expect(error.message).toContain(path);
  });

  it("names a weights file cut short", async () => {
    const path = join(await saved("torn"), "model.safetensors");
    await writeFile(path, new Uint8Array(20));
    expect((await errorOf(join(root, "torn"))).message).toContain(path);
  });

  it("does not go on with weights that have changed since", async () => {
    const path = await saved("changing");
    const pictures = images(8);
    await using loaded = await loadModel(path, { threads: 2 });
    const [one] = await loaded.embedImages(pictures.slice(0, 1)); // takes the image tower's weights
    await rm(path, { recursive: true });
    await withTensors("changing", (tensors) => tensors.get("imageProjection.weight")?.data.fill(0.5));
    await expect(loaded.embedImages(pictures)).rejects.toMatchObject({ code: "mismatch" });
    await rm(path, { recursive: true });
    await saved("changing"); // the very same
    expect((await loaded.embedImages(pictures))[0]).toEqual(one);
  });
});
