import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportedModelSchema } from "../../src/models/exported-model.ts";
import { Linear } from "../../src/nn/linear.ts";
import { type ExportRequest, exportCheckpoint, exportOnnx } from "../../src/zoo/export-model.ts";
import { requireOneFile } from "../../src/zoo/export-onnx.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { runFlorence } from "./run-florence.ts";
import { saveTinyClip } from "./tiny-clip.ts";

describe("florence export", () => {
  let folder: string;
  let source: string;
  let model: FlorenceModel;
  const request = (target: string): ExportRequest => ({ source, model, target: join(folder, target) });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "florence-export-"));
    source = join(folder, "tiny-clip");
    await saveTinyClip(source);
    model = await loadModel(source);
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it("writes towers that plain ONNX Runtime runs, and says how to feed them", async () => {
    const { files, lowestCosine } = await exportOnnx(request("both"), "both");
    expect(files.sort()).toEqual(["README.md", "image.onnx", "merges.txt", "preprocessing.json", "text.onnx"]);
    expect((await readdir(join(folder, "both"))).sort()).toEqual(files);
    expect(lowestCosine).toBeGreaterThan(0.99999);
    const description = exportedModelSchema.parse(
      JSON.parse(await readFile(join(folder, "both", "preprocessing.json"), "utf8")),
    );
    expect(description).toMatchObject({
      name: "tiny-clip",
      fingerprint: model.fingerprint,
      licence: "MIT",
      image: { size: 24, resize: "squash", filter: "bilinear" },
      text: { length: "dynamic", tokenizer: { kind: "clip-bpe", mergeCount: 4, contextLength: 16 } },
    });
    const session = await ort.InferenceSession.create(join(folder, "both", "text.onnx"));
    expect(session.inputMetadata.map((input) => input.isTensor && input.shape)).toEqual([
      ["batch", "tokens"],
      ["batch", "tokens"],
    ]);
    const ids = Int32Array.of(516, 513, 517, 516, 517, 0);
    const { embedding } = await session.run({
      ids: new ort.Tensor("int32", ids, [2, 3]),
      mask: new ort.Tensor("float32", Float32Array.of(1, 1, 1, 1, 1, 0), [2, 3]),
    });
    const [empty] = await model.embedTexts([""]);
    Array.from(empty as Float32Array).forEach((value, i) => {
      expect((embedding as ort.Tensor).data[8 + i]).toBeCloseTo(value, 5);
    });
    await session.release();
  });

  it("writes int8 towers, smaller and with a fingerprint of their own", async () => {
    await using bytes = await loadModel(source, { precision: "int8" });
    const { lowestCosine } = await exportOnnx({ source, model: bytes, target: join(folder, "int8") }, "both", "int8");
    expect(lowestCosine).toBeGreaterThan(0.98);
    const text = await readFile(join(folder, "int8", "preprocessing.json"), "utf8");
    const { precision, fingerprint } = exportedModelSchema.parse(JSON.parse(text));
    expect([precision, fingerprint]).toEqual(["int8", bytes.fingerprint]);
    expect(fingerprint).not.toBe(model.fingerprint);
    const sizes = await Promise.all(["int8", "both"].map((name) => stat(join(folder, name, "image.onnx"))));
    expect(sizes[0].size).toBeLessThan(sizes[1].size);
    const refused = await runFlorence(
      ["export", "--model", source, "--out", join(folder, "no"), "--format", "safetensors", "--precision", "int8"],
      { loadModel, cacheFolder: join(folder, "cache") },
    );
    expect(refused.exitCode).toBe(2);
  });

  it("says how another family's pictures are cropped, and checks the files on pictures that show it", async () => {
    const clip = fileURLToPath(new URL("../fixtures/checkpoints/clip-hugging-face", import.meta.url));
    const loaded = await loadModel(clip);
    const target = join(folder, "hugging-face");
    try {
      const { lowestCosine } = await exportOnnx({ source: clip, model: loaded, target }, "both");
      expect(lowestCosine).toBeGreaterThan(0.99999);
    } finally {
      await loaded.dispose();
    }
    const { image } = exportedModelSchema.parse(JSON.parse(await readFile(join(target, "preprocessing.json"), "utf8")));
    expect(image).toEqual({
      file: "image.onnx",
      size: 33,
      resize: "shorter-side",
      filter: "bicubic",
      cropStart: "floored",
    });
  });

  it("carries the description in each file's metadata", async () => {
    const bytes = (await readFile(join(folder, "both", "image.onnx"))).toString("latin1");
    for (const part of ["fingerprint", model.fingerprint, "preprocessing", '"resize":"squash"', "licence", "MIT"]) {
      expect(bytes).toContain(part);
    }
  });

  it.each([
    ["image", "image.onnx", "text.onnx"],
    ["text", "text.onnx", "image.onnx"],
  ] as const)("writes the %s tower alone", async (towers, there, absent) => {
    const { files } = await exportOnnx(request(`${towers}-only`), towers);
    expect(files).toContain(there);
    expect(files).not.toContain(absent);
    expect(files.includes("merges.txt")).toBe(towers === "text");
  });

  it("leaves nothing behind when the files compute something else", async () => {
    const other: FlorenceModel = { ...model, embedImages: async (images) => images.map(() => new Float32Array(8)) };
    const attempt = exportOnnx({ ...request("wrong"), model: { ...other, embedTexts: model.embedTexts } }, "image");
    await expect(attempt).rejects.toMatchObject({ code: "mismatch", message: expect.stringContaining("image.onnx") });
    expect((await readdir(folder)).filter((name) => name.startsWith("wrong"))).toEqual([]);
  });

  it("writes a checkpoint that gives the same embeddings", async () => {
    const { files } = await exportCheckpoint(request("checkpoint"), "F32");
    expect(files).toEqual(["README.md", "config.json", "merges.txt", "model.safetensors"]);
    const again = await loadModel(join(folder, "checkpoint"));
    expect(again.fingerprint).toBe(model.fingerprint);
    expect(await again.embedTexts(["cat", "dog cat"])).toEqual(await model.embedTexts(["cat", "dog cat"]));
    await again.dispose();
    await exportCheckpoint(request("halves"), "F16");
    const sizes = await Promise.all(
      ["checkpoint", "halves"].map((name) => stat(join(folder, name, "model.safetensors"))),
    );
    expect((sizes[1]?.size as number) / (sizes[0]?.size as number)).toBeLessThan(0.7);
  });

  it("prints the fingerprint of what it wrote", async () => {
    for (const [precision, isSame] of [
      ["float16", false],
      ["float32", true],
    ] as const) {
      const out = join(folder, `printed-${precision}`);
      const words = ["--out", out, "--format", "safetensors", "--precision", precision, "--json"];
      const { stdout } = await runFlorence(["export", "-m", source, ...words], {
        ...{ loadModel, cacheFolder: join(folder, "cache") },
      });
      await using written = await loadModel(out);
      expect(JSON.parse(stdout)).toMatchObject({ folder: out, fingerprint: written.fingerprint });
      expect(written.fingerprint === model.fingerprint).toBe(isSame);
    }
  });

  it("refuses a tower that no ONNX file can hold", () => {
    const wide = new Linear({ inputs: 2 ** 15, outputs: 2 ** 14 }); // 2 GiB; no weight is allocated
    expect(() => requireOneFile("image.onnx", [wide])).toThrow(/image\.onnx: must hold less than \d+ bytes/);
    expect(() => requireOneFile("image.onnx", [new Linear({ inputs: 2 ** 14, outputs: 2 ** 14 })])).not.toThrow();
  });

  it("works from the command line and refuses to overwrite", async () => {
    const out = join(folder, "from-cli");
    const words = ["export", "-m", source, "--out", out, "--towers", "text", "--json"];
    // The command frees the model it was given: that must not be the one other tests share.
    const lent = { loadModel, cacheFolder: join(folder, "cache") };
    const first = await runFlorence(words, lent);
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(JSON.parse(first.stdout)).toMatchObject({ folder: out, fingerprint: model.fingerprint });
    await writeFile(join(out, "mine.txt"), "kept");
    const second = await runFlorence(words, lent);
    expect(second.exitCode).not.toBe(0);
    expect(second.stdout + second.stderr).toContain("--force");
    expect(await readdir(out)).toContain("mine.txt");
    const forced = await runFlorence([...words, "--force"], lent);
    expect(forced.exitCode).toBe(2);
    expect(forced.stderr).toContain("got mine.txt in it. Move it away, or name another folder.");
    expect(await readFile(join(out, "mine.txt"), "utf8")).toBe("kept");
    await rm(join(out, "mine.txt"));
    expect((await runFlorence([...words, "--force"], lent)).exitCode).toBe(0);
    for (const wrong of [
      ["--precision", "float16"],
      ["--format", "safetensors", "--towers", "text"],
    ]) {
      const refused = await runFlorence(["export", "-m", source, "--out", join(folder, "x"), ...wrong], lent);
      expect(refused.exitCode).toBe(2);
      expect(refused.stderr).toContain(`got ${wrong.slice(-2).join(" ")}`);
    }
  });
});
