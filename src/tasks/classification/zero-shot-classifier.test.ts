import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ShapeError, UserError } from "../../core/errors.ts";
import { embedClasses } from "./class-embeddings.ts";
import { checkLabels, checkTemplates, fillTemplate } from "./prompts.ts";
import { defaultTemplates } from "./templates.data.ts";
import { ZeroShotClassifier, zeroShotClassifier } from "./zero-shot-classifier.ts";

/** Embeds a text by a table; longer vectors than 1 show that each is normalised by itself. */
function tableEmbedder(table: Readonly<Record<string, readonly number[]>>, fingerprint = "table") {
  const asked: string[] = [];
  return {
    asked,
    fingerprint,
    embedDim: 2,
    logitScale: 10,
    async embedTexts(texts: readonly string[]) {
      asked.push(...texts);
      return texts.map((text) => Float32Array.from(table[text]));
    },
  };
}

const table = { "a cat": [3, 0], "the cat": [0, 1], "a dog": [0, -2], "the dog": [0, -1] };
const templates = ["a {}", "the {}"];

describe("embedClasses", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "florence-classes-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("normalises each prompt, averages, normalises again", async () => {
    const classes = await embedClasses(tableEmbedder(table), ["cat", "dog"], templates);
    const half = Math.SQRT1_2; // (3, 0) counts no more than (0, 1)
    expect(Array.from(classes)).toEqual([half, half, 0, -1].map((value) => expect.closeTo(value, 6)));
  });

  it("leaves zeros, not NaN, when prompts cancel out", async () => {
    const embedder = tableEmbedder({ "a cat": [1, 0], "the cat": [-1, 0] });
    expect(Array.from(await embedClasses(embedder, ["cat"], templates))).toEqual([0, 0]);
  });

  it("keeps what it made for the same model, labels and templates only", async () => {
    const options = { cacheFolder: folder };
    const first = await embedClasses(tableEmbedder(table), ["cat", "dog"], templates, options);
    const again = tableEmbedder(table);
    expect(await embedClasses(again, ["cat", "dog"], templates, options)).toEqual(first);
    expect(again.asked).toEqual([]);
    for (const [embedder, labels, prompts] of [
      [tableEmbedder(table, "other model"), ["cat", "dog"], templates],
      [tableEmbedder(table), ["dog", "cat"], templates],
      [tableEmbedder(table), ["cat", "dog"], ["a {}"]],
    ] as const) {
      await embedClasses(embedder, labels, prompts, options);
      expect(embedder.asked.length).toBeGreaterThan(0);
    }
  });

  it("makes anew what was damaged", async () => {
    const options = { cacheFolder: folder };
    const first = await embedClasses(tableEmbedder(table), ["cat", "dog"], templates, options);
    const [name] = await readdir(join(folder, "class-embeddings"));
    await writeFile(join(folder, "class-embeddings", name), "damaged");
    const embedder = tableEmbedder(table);
    expect(await embedClasses(embedder, ["cat", "dog"], templates, options)).toEqual(first);
    expect(embedder.asked).toHaveLength(4);
  });

  it("splits thousands of prompts into runs, with the same result", async () => {
    const labels = Array.from({ length: 700 }, (_, i) => `${i}`);
    const numbers = Object.fromEntries(
      labels.flatMap((label, i) => [
        [`a ${label}`, [i, 1]],
        [`the ${label}`, [i, 1]],
      ]),
    );
    const classes = await embedClasses(tableEmbedder(numbers), labels, templates);
    for (const i of [0, 1, 127, 128, 699]) {
      const norm = Math.hypot(i, 1);
      expect(classes[2 * i]).toBeCloseTo(i / norm, 6);
      expect(classes[2 * i + 1]).toBeCloseTo(1 / norm, 6);
    }
  });
});

describe("ZeroShotClassifier", () => {
  const classifier = new ZeroShotClassifier(["right", "up", "left"], Float32Array.of(1, 0, 0, 1, -1, 0), 2);

  it("is a softmax over scaled cosines", () => {
    const logits = [2 * 0.6, 2 * 0.8, 2 * -0.6];
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    expect(classifier.classify(Float32Array.of(0.6, 0.8))).toEqual([
      { label: "up", probability: expect.closeTo(Math.exp(logits[1]) / sum, 6) },
      { label: "right", probability: expect.closeTo(Math.exp(logits[0]) / sum, 6) },
      { label: "left", probability: expect.closeTo(Math.exp(logits[2]) / sum, 6) },
    ]);
    expect(classifier.classify(Float32Array.of(0.6, 0.8), 1).map(({ label }) => label)).toEqual(["up"]);
  });

  it("stays finite at a large logit scale", () => {
    const sharp = new ZeroShotClassifier(["right", "left"], Float32Array.of(1, 0, -1, 0), 1e5);
    expect(Array.from(sharp.probabilities(Float32Array.of(1, 0)))).toEqual([1, 0]);
  });

  it("refuses an embedding of another length", () => {
    expect(() => classifier.classify(new Float32Array(3))).toThrow(ShapeError);
  });

  it("is built from labels alone", async () => {
    const built = await zeroShotClassifier(tableEmbedder(table), [" cat ", "dog"], templates);
    expect(built.labels).toEqual(["cat", "dog"]);
    expect(built.classify(Float32Array.of(1, 0))[0].label).toBe("cat");
  });
});

describe("prompts", () => {
  it("fills the slot with the label as it is", () => {
    expect(fillTemplate("a photo of a {}.", "$& dog")).toBe("a photo of a $& dog.");
  });

  it("ships templates that pass its own check", () => {
    expect(checkTemplates(defaultTemplates)).toHaveLength(7);
  });

  it.each([[[]], [["no slot"]], [["{} and {}"]]])("refuses templates %j", (bad) => {
    expect(() => checkTemplates(bad)).toThrow(UserError);
  });

  it.each([[[]], [["cat"]], [["cat", " "]], [["cat", " cat"]]])("refuses labels %j", (bad) => {
    expect(() => checkLabels(bad)).toThrow(UserError);
  });
});
