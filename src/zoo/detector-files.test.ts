import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tinyDetector } from "../../test/support/tiny-detector.ts";
import { readSafetensors, writeSafetensors } from "../io/safetensors.ts";
import { initialWeights } from "../nn/module.ts";
import {
  detectorFingerprint,
  isDetectorFolder,
  readDetector,
  type SavedDetector,
  saveDetector,
} from "./detector-files.ts";

let parent: string;
let folder: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "florence-detector-"));
  folder = join(parent, "found");
});
afterEach(() => rm(parent, { recursive: true, force: true }));

function fixed(names: string[] = ["cat", "dog"]): SavedDetector {
  const detector = tinyDetector(32, { kind: "fixed", count: 2 });
  return {
    name: "pets",
    architecture: detector.config,
    weights: initialWeights(detector, 3),
    classes: { kind: "fixed", names },
    preprocessing: { side: 32, padding: "square" },
    files: { "README.md": "# Pets\n" },
  };
}

describe("a detector's folder", () => {
  it("gives back what was saved, weights to float16, and leaves nothing else behind", async () => {
    const saved = fixed();
    await saveDetector(folder, { ...saved, backbone: { name: "nano", fingerprint: "f00d", frozen: true } });
    expect((await readdir(folder)).sort()).toEqual(["README.md", "config.json", "model.safetensors"]);
    expect(await readdir(parent)).toEqual(["found"]);
    const { weights, ...facts } = await readDetector(folder);
    const { weights: before, files: _, ...stated } = saved;
    expect(facts).toEqual({ ...stated, backbone: { name: "nano", fingerprint: "f00d", frozen: true } });
    expect([...weights.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, data] of weights) {
      const worst = Math.max(...data.map((value, i) => Math.abs(value - (before.get(name) as Float32Array)[i])));
      expect(worst, name).toBeLessThan(2e-3);
    }
    expect(await isDetectorFolder(folder)).toBe(true);
    expect(await isDetectorFolder(parent)).toBe(false);
  });

  it("keeps the text classes' model and prompts, and float32 exactly", async () => {
    const detector = tinyDetector(32, { kind: "text", embedding: 6 });
    const saved: SavedDetector = {
      name: "open",
      architecture: detector.config,
      weights: initialWeights(detector, 1),
      classes: { kind: "text", embedder: { name: "nano", fingerprint: "f00d" }, templates: ["a photo of a {}"] },
      preprocessing: { side: 48, padding: "stride" },
      dtype: "F32",
    };
    await saveDetector(folder, saved);
    const read = await readDetector(folder);
    expect(read.classes).toEqual(saved.classes);
    expect(detectorFingerprint(read)).toBe(detectorFingerprint(saved));
    expect(detectorFingerprint(read, "int8")).not.toBe(detectorFingerprint(saved));
    const other = { ...read, preprocessing: { ...read.preprocessing, side: 64 } };
    expect(detectorFingerprint(other)).not.toBe(detectorFingerprint(saved));
  });

  it("replaces an older one whole", async () => {
    await saveDetector(folder, { ...fixed(), files: { "old.txt": "old" } });
    await saveDetector(folder, { ...fixed(), name: "new" });
    expect((await readDetector(folder)).name).toBe("new");
    expect(await readdir(folder)).not.toContain("old.txt");
    expect(await readdir(parent)).toEqual(["found"]);
  });

  it("refuses facts that do not agree, naming the field", async () => {
    await expect(saveDetector(folder, fixed(["cat"]))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("classes.names is not right: must be as many as architecture.classes.count"),
    });
    await expect(saveDetector(folder, fixed(["cat", "cat"]))).rejects.toThrow("must differ from each other");
    const odd = { ...fixed(), preprocessing: { side: 30, padding: "square" as const } };
    await expect(saveDetector(folder, odd)).rejects.toThrow('must be a multiple of 4 with padding "square", got 30');
    const odd16 = { ...fixed(), preprocessing: { side: 40, padding: "stride" as const } };
    await expect(saveDetector(folder, odd16)).rejects.toThrow('must be a multiple of 16 with padding "stride", got 40');
    expect(await readdir(parent)).toEqual([]);
  });

  it("refuses a damaged folder, naming file, field or tensor", async () => {
    await saveDetector(folder, fixed());
    const configPath = join(folder, "config.json");
    const weightsPath = join(folder, "model.safetensors");
    const config = JSON.parse(await readFile(configPath, "utf8"));

    await writeFile(configPath, JSON.stringify({ ...config, extra: 1 }));
    await expect(readDetector(folder)).rejects.toMatchObject({ code: "unsupported" });
    await writeFile(configPath, JSON.stringify({ ...config, format: "florence-model/1" }));
    await expect(readDetector(folder)).rejects.toThrow("must be a detector's folder");
    await writeFile(configPath, "{");
    await expect(readDetector(folder)).rejects.toMatchObject({ code: "corrupt" });
    await writeFile(configPath, JSON.stringify(config));

    const { tensors } = await readSafetensors(weightsPath);
    const without = new Map([...tensors].filter(([name]) => name !== "head.box.weight"));
    await writeSafetensors(weightsPath, without);
    await expect(readDetector(folder)).rejects.toThrow("must hold head.box.weight [4, 32], it is missing");
    await writeSafetensors(
      weightsPath,
      new Map([...tensors, ["more", { dtype: "F32", shape: [1], data: new Float32Array(1) }]]),
    );
    await expect(readDetector(folder)).rejects.toThrow("more must not be there");
    await rm(weightsPath);
    await expect(readDetector(folder)).rejects.toMatchObject({ code: "not-found" });
    await expect(readDetector(join(parent, "nowhere"))).rejects.toMatchObject({ code: "not-found" });
  });
});
