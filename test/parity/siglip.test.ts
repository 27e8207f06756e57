import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { canonicalizeSiglipText } from "../../src/data/tokenizers/siglip-text.ts";
import { decodeImage } from "../../src/io/images.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../../src/io/safetensors.ts";
import { zeroShotClassifier } from "../../src/tasks/classification/zero-shot-classifier.ts";
import { CheckpointFolder } from "../../src/zoo/checkpoint-folder.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { readSiglipTokenizer } from "../../src/zoo/siglip-tokenizer-files.ts";
import { compareWithReference } from "../support/reference-embeddings.ts";

const fixtures = fileURLToPath(new URL("../fixtures/checkpoints", import.meta.url));
const samples = fileURLToPath(new URL("../../samples", import.meta.url));

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-siglip-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let copies = 0;
async function copyOf(name: string): Promise<string> {
  const folder = join(root, `${name}-${copies++}`);
  await cp(join(fixtures, name), folder, { recursive: true });
  return folder;
}

async function editJson(path: string, edit: (value: Record<string, Record<string, unknown>>) => void): Promise<void> {
  const value = JSON.parse(await readFile(path, "utf8"));
  edit(value);
  await writeFile(path, JSON.stringify(value));
}

async function errorOf(promise: Promise<unknown>): Promise<UserError> {
  const error: unknown = await promise.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

async function tokenizerOf(folder: string, vocabulary = 1_000_000) {
  return readSiglipTokenizer(await CheckpointFolder.open(folder), { vocabulary, contextLength: 64 });
}

describe.each(["siglip", "siglip2"])("%s as transformers saves it", (name) => {
  it("gives the library's embeddings, from file bytes and strings on", async () => {
    const model = await loadModel(join(fixtures, name));
    const { lowestCosine, largestDifference, scaleError } = await compareWithReference(model, join(fixtures, name));
    await model.dispose();
    expect(lowestCosine).toBeGreaterThan(0.99999);
    expect(largestDifference).toBeLessThan(2e-6);
    expect(scaleError).toBeLessThan(1e-6);
  });

  it("gives the library's probability of each label by itself", async () => {
    const expected = JSON.parse(await readFile(join(fixtures, name, "expected.json"), "utf8"));
    const texts: string[] = expected.texts.map(({ text }: { text: string }) => text);
    const places = texts.flatMap((text, i) => (text === "" ? [] : [i])); // a label may not be empty
    const model = await loadModel(join(fixtures, name));
    try {
      const labels = places.map((i) => texts[i]);
      const classifier = await zeroShotClassifier(model, labels, ["{}"]);
      for (const [row, { path }] of expected.images.entries()) {
        const [embedding] = await model.embedImages([await decodeImage(join(samples, path))]);
        const found = classifier.probabilities(embedding);
        for (const [at, place] of places.entries()) {
          const want: number = expected.probabilities[row][place];
          // Relative to the distance from certainty, whichever is nearer: logits are scaled by 110.
          expect(Math.abs(found[at] - want)).toBeLessThan(1e-3 * Math.min(want, 1 - want) + 1e-6);
        }
      }
      expect(model.scoring).toEqual({ kind: "sigmoid", bias: expect.closeTo(expected.bias, 5) });
    } finally {
      await model.dispose();
    }
  });

  it("names tensors that are missing, misshapen or too many", async () => {
    const folder = await copyOf(name);
    const path = join(folder, "model.safetensors");
    const { tensors } = await readSafetensors(path);
    const missing = "vision_model.head.probe";
    await writeSafetensors(path, new Map<string, WeightTensor>([...tensors].filter(([key]) => key !== missing)));
    expect((await errorOf(loadModel(folder))).message).toContain(`must hold ${missing} [1, 1, 16], it is missing`);
    const bias = { shape: [2], data: new Float32Array(2) };
    await writeSafetensors(path, new Map<string, WeightTensor>([...tensors, ["logit_bias", bias]]));
    expect((await errorOf(loadModel(folder))).message).toContain("logit_bias must be [1], got [2]");
    await writeSafetensors(path, new Map<string, WeightTensor>([...tensors, ["surplus", bias]]));
    expect((await errorOf(loadModel(folder))).message).toContain("surplus must not be there");
  });
});

describe("SigLIP's tokenizers", () => {
  it.each(["siglip", "siglip2", "siglip-unigram", "siglip-bytes", "siglip-unigram-bytes"])(
    "%s gives its library's ids, padded to the full length",
    async (name) => {
      const { padId, contextLength, cases } = JSON.parse(await readFile(join(fixtures, name, "tokens.json"), "utf8"));
      const tokenizer = await tokenizerOf(join(fixtures, name));
      const wrong = cases.filter(({ text, ids }: { text: string; ids: number[] }) => {
        const padded = [...ids, ...new Array(contextLength - ids.length).fill(padId)];
        return tokenizer.encode(text).join() !== padded.join();
      });
      expect(cases.length).toBeGreaterThanOrEqual(200);
      expect(wrong).toEqual([]);
    },
  );

  it("turns what no piece covers into the bytes of its UTF-8, and never gives the sentinels above the table", async () => {
    const whole = await tokenizerOf(join(fixtures, "siglip-bytes"));
    const rows = whole.vocabularySize - 5;
    const tokenizer = await tokenizerOf(join(fixtures, "siglip-bytes"), rows);
    expect(tokenizer.vocabularySize).toBe(rows);
    const [first] = tokenizer.encode("🦊").slice(1);
    expect(Array.from(tokenizer.encode("🦊").slice(1, 6), (id) => id - first)).toEqual([0, -81, -74, -102, 1 - first]); // f0 9f a6 8a
    expect(tokenizer.encode("a <extra_id_0>")).toEqual(whole.encode("a <extra_id_0>"));
  });

  it("lower-cases a text as a whole, so that a last sigma keeps its form", () => {
    expect(canonicalizeSiglipText("ΣΊΣΥΦΟΣ, Σ!")).toBe("σίσυφος σ");
  });

  it("keeps the end when a text is too long", async () => {
    const tokenizer = await tokenizerOf(join(fixtures, "siglip2"));
    const ids = tokenizer.encode("a very long text ".repeat(100));
    expect(ids).toHaveLength(64);
    expect(ids.at(-1)).toBe(1);
    expect(ids.at(-2)).not.toBe(0);
  });

  it("lets tokenizer_config.json say what stands around a text", async () => {
    const folder = await copyOf("siglip2");
    await editJson(join(folder, "tokenizer_config.json"), (config) => Object.assign(config, { add_bos_token: true }));
    const [plain, changed] = [await tokenizerOf(join(fixtures, "siglip2")), await tokenizerOf(folder)];
    expect(Array.from(changed.encode("cat").slice(0, 5))).toEqual([2, ...plain.encode("cat").slice(0, 4)]);
    expect(changed.fingerprintParts).not.toBe(plain.fingerprintParts);
  });

  it("refuses what it would not do as the model was trained", async () => {
    const left = await copyOf("siglip2");
    await editJson(join(left, "tokenizer_config.json"), (config) => Object.assign(config, { padding_side: "left" }));
    expect((await errorOf(tokenizerOf(left))).message).toMatch(
      /tokenizer\.json: .*padding_side must be "right".*"left"/,
    );

    expect((await errorOf(tokenizerOf(join(fixtures, "siglip2"), 100))).message).toContain("at most the 100 ids");

    const stranger = await copyOf("siglip2");
    await editJson(join(stranger, "tokenizer.json"), (json) => Object.assign(json, { normalizer: { type: "Novel" } }));
    const { code, message } = await errorOf(tokenizerOf(stranger));
    expect([code, message]).toEqual(["unsupported", expect.stringMatching(/tokenizer\.json: normalizer .*"Novel"/)]);

    const none = await copyOf("siglip");
    await rm(join(none, "spiece.model"));
    expect((await errorOf(tokenizerOf(none))).message).toContain("must hold spiece.model or tokenizer.json");
  });

  it.each([
    ["siglip", "spiece.model"],
    ["siglip2", "tokenizer.json"],
  ])("%s: a damaged %s is named, whatever is wrong with it", async (name, file) => {
    const folder = await copyOf(name);
    const path = join(folder, file);
    const intact = await readFile(path);
    const rng = new Rng(`damaged ${file}`);
    let refused = 0;
    for (let round = 0; round < 60; round++) {
      const bytes = Uint8Array.from(intact.subarray(0, round % 3 === 0 ? rng.int(intact.length) : intact.length));
      for (let i = 0; i < 1 + (round % 7) && bytes.length > 0; i++) bytes[rng.int(bytes.length)] = rng.int(256);
      await writeFile(path, bytes);
      const result = await tokenizerOf(folder).catch((error: unknown) => error);
      if (result instanceof Error) {
        expect(result).toBeInstanceOf(UserError);
        expect(result.message).toContain(path);
        refused++;
      } else {
        expect((result as Awaited<ReturnType<typeof tokenizerOf>>).encode("two dogs, naïve")).toHaveLength(64);
      }
    }
    expect(refused).toBeGreaterThan(10);
  });
});

describe("SigLIP checkpoints that are not read", () => {
  it("NaFlex is refused by name", async () => {
    const folder = await copyOf("siglip2");
    await editJson(join(folder, "config.json"), (config) => Object.assign(config, { model_type: "siglip2" }));
    const { code, message } = await errorOf(loadModel(folder));
    expect([code, message]).toEqual([
      "unsupported",
      expect.stringMatching(/config\.json: .*NaFlex.*fixed|fixed.*NaFlex/),
    ]);
  });

  it.each([
    ["vision_config", { vision_use_head: false }, "vision_config.vision_use_head"],
    ["text_config", { hidden_act: "relu" }, "text_config.hidden_act"],
    [
      "text_config",
      { projection_size: 12 },
      "text_config.projection_size must be vision_config.hidden_size, 16, got 12",
    ],
    ["vision_config", { num_attention_heads: 3 }, "vision_config.num_attention_heads must divide 16, got 3"],
  ])("%s with %j", async (part, change, expected) => {
    const folder = await copyOf("siglip2");
    await editJson(join(folder, "config.json"), (config) => Object.assign(config[part] as object, change));
    expect((await errorOf(loadModel(folder))).message).toContain(expected);
  });
});
