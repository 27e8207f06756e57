import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anyExportedModelSchema, exportedModelSchema } from "../../src/models/exported-model.ts";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";

const sources = ["siglip", "siglip2"] as const;
const sourceOf = (name: string) => fileURLToPath(new URL(`../fixtures/checkpoints/${name}`, import.meta.url));
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-export-siglip-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (name: string, ...words: string[]) =>
  runFlorence(["export", "-m", sourceOf(name), ...words], { loadModel, cacheFolder: join(folder, "cache") });
const describedIn = async (target: string) => JSON.parse(await readFile(join(target, "preprocessing.json"), "utf8"));

describe.each(sources)("florence export of %s", (name) => {
  it("writes the image tower alone, in a form that florence/web reads", async () => {
    const target = join(folder, `${name}-image`);
    const { exitCode, stderr } = await run(name, "--out", target, "--towers", "image");
    expect(exitCode, stderr).toBe(0);
    expect((await readdir(target)).sort()).toEqual(["README.md", "image.onnx", "preprocessing.json"]);
    const { scoring, text } = exportedModelSchema.parse(await describedIn(target));
    expect([scoring?.kind, text]).toEqual(["sigmoid", undefined]);
  });

  it("writes both towers with the tokenizer's own files and how scores become probabilities", async () => {
    const target = join(folder, name);
    const { exitCode, stderr, stdout } = await run(name, "--out", target, "--json");
    expect(exitCode, stderr).toBe(0);
    expect(jsonLines(stdout)[0]?.lowestCosine).toBeGreaterThan(0.99999);
    const { scoring, logitScale, text } = anyExportedModelSchema.parse(await describedIn(target));
    await using model = await loadModel(sourceOf(name));
    expect([scoring, logitScale]).toEqual([model.scoring, model.logitScale]);
    const files = name === "siglip" ? ["spiece.model"] : ["tokenizer.json", "tokenizer_config.json"];
    expect(text).toMatchObject({ length: "context", tokenizer: { kind: "siglip", files } });
    for (const file of files) {
      expect(await readFile(join(target, file))).toEqual(await readFile(join(sourceOf(name), file)));
    }
    const readme = await readFile(join(target, "README.md"), "utf8");
    expect(readme).toContain(`\`${files[0]}\``);
    expect(readme).toContain("σ(score + b)");
    expect(readme).not.toContain("florence/web");

    const { tokenizer } = await readCheckpoint(sourceOf(name));
    const length = tokenizer.contextLength;
    const session = await ort.InferenceSession.create(join(target, "text.onnx"));
    expect(session.inputMetadata.map((input) => input.isTensor && input.shape)).toEqual([
      ["batch", length],
      ["batch", length],
    ]);
    const { embedding } = await session.run({
      ids: new ort.Tensor("int32", tokenizer.encode("A cat!"), [1, length]),
      mask: new ort.Tensor("float32", new Float32Array(length).fill(1), [1, length]),
    });
    const [expected] = await model.embedTexts(["A cat!"]);
    for (const [i, value] of (expected as Float32Array).entries()) {
      expect((embedding as ort.Tensor).data[i]).toBeCloseTo(value, 5);
    }
    await session.release();
  });
});
