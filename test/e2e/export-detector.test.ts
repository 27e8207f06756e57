import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Box, boxIou } from "../../src/core/boxes.ts";
import { UserError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { decodeScoredBoxes } from "../../src/models/detection/decode-scored-boxes.ts";
import { exportedDetectorSchema } from "../../src/models/exported-detector.ts";
import { detectorFingerprint, readDetector, saveDetector } from "../../src/zoo/detector-files.ts";
import { exportDetectorOnnx } from "../../src/zoo/export-detector.ts";
import { loadDetector } from "../../src/zoo/load-detector.ts";
import {
  type ColouredPicture,
  colouredPicture,
  overfitDetector,
  overfitSize as size,
} from "../support/overfit-detector.ts";
import { tinyDetector } from "../support/tiny-detector.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

const texts = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
let folder: string;
let pictures: ColouredPicture[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-export-detector-"));
  const rng = new Rng(5);
  pictures = Array.from({ length: 2 }, () => colouredPicture(rng));
  const open = tinyDetector(size, { kind: "text", embedding: 3 });
  await saveDetector(join(folder, "open"), {
    name: "open",
    architecture: open.config,
    weights: (await overfitDetector(open, pictures, texts)).weights,
    classes: { kind: "text", embedder: { name: "colours", fingerprint: "c0104" }, templates: ["a {} thing"] },
    preprocessing: { side: size, padding: "stride" },
    files: { "README.md": "---\nlicense: mit\n---\n# Open\n" },
  });
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence(["export", "-m", join(folder, "open"), ...words], {
    loadModel: async () => toyModel(),
    cacheFolder: join(folder, "cache"),
  });
}

describe("florence export of a detector", () => {
  it("gives an ONNX file that finds the same by itself, for any batch and labels", async () => {
    const target = join(folder, "onnx");
    const { exitCode, stdout } = await run("--out", target, "--json");
    expect(exitCode).toBe(0);
    const [line] = jsonLines(stdout);
    expect(line).toMatchObject({ folder: target, files: ["detector.onnx", "preprocessing.json", "README.md"] });
    expect(line?.lowestIou).toBeGreaterThan(0.99);
    const description = exportedDetectorSchema.parse(
      JSON.parse(await readFile(join(target, "preprocessing.json"), "utf8")),
    );
    expect(description).toMatchObject({
      licence: "mit",
      canvas: { width: size, height: size },
      fingerprint: line?.fingerprint,
    });
    const readme = await readFile(join(target, "README.md"), "utf8");
    expect(readme).toContain("float32 [labels, 3]");
    expect(readme).toContain("`a {} thing`, embed that with colours");

    const session = await ort.InferenceSession.create(join(target, "detector.onnx"));
    const names = ["pixels", "texts"];
    expect([session.inputNames, session.outputNames]).toEqual([names, ["boxes", "scores"]]);
    const pixels = Buffer.concat(pictures.map((picture) => picture.pixels));
    const outputs = await session.run({
      pixels: new ort.Tensor("uint8", pixels, [2, size, size, 3]),
      texts: new ort.Tensor("float32", texts, [3, 3]),
    });
    const [boxes, scores] = [outputs.boxes as ort.Tensor, outputs.scores as ort.Tensor];
    const anchors = boxes.dims[1] as number;
    expect([boxes.dims, scores.dims]).toEqual([
      [2, anchors, 4],
      [2, anchors, 3],
    ]);
    const [first] = pictures as [ColouredPicture];
    const found = decodeScoredBoxes(
      (boxes.data as Float32Array).subarray(0, 4 * anchors),
      (scores.data as Float32Array).subarray(0, 3 * anchors),
      { width: size, height: size, scoreThreshold: 0.2, iouThreshold: 0.6, limit: 20 },
    );
    for (const [i, id] of first.objects.classes.entries()) {
      const truth = [...first.objects.boxesXyxy.subarray(4 * i, 4 * i + 4)] as unknown as Box;
      const ious = [...found.classes].map((own, at) => {
        const box = [...found.boxes.subarray(4 * at, 4 * at + 4)] as unknown as Box;
        return own === id ? boxIou(box, truth) : 0;
      });
      expect(Math.max(...ious)).toBeGreaterThan(0.6);
    }
    await session.release();
  });

  it("writes int8, and a folder of ours in float32", async () => {
    const small = await run("--out", join(folder, "int8"), "--precision", "int8", "--json");
    expect(small.exitCode).toBe(0);
    const copied = await run("--out", join(folder, "copy"), "--format", "safetensors", "--precision", "float32");
    expect(copied.exitCode).toBe(0);
    expect((await readdir(join(folder, "copy"))).sort()).toEqual(["README.md", "config.json", "model.safetensors"]);
    expect(await readDetector(join(folder, "copy"))).toEqual(await readDetector(join(folder, "open")));
  });

  it("prints the fingerprint of the folder it wrote, whose name may end in a slash", async () => {
    const target = `${join(folder, "halves")}/`;
    const read = await readDetector(join(folder, "open"));
    // Weights that float16 rounds: the folder's own are as float16 has them already.
    const weights = new Map([...read.weights].map(([name, values]) => [name, values.map((value) => value * 1.0001)]));
    const fine = join(folder, "fine");
    await saveDetector(fine, { ...read, weights, dtype: "F32" });
    const { exitCode, stdout } = await run("-m", fine, "--out", target, "--format", "safetensors", "--json");
    expect(exitCode).toBe(0);
    const fingerprint = detectorFingerprint(await readDetector(target));
    expect(jsonLines(stdout)[0]).toMatchObject({ folder: target, fingerprint });
    expect(fingerprint).not.toBe(detectorFingerprint(await readDetector(fine)));
    expect((await run("--out", target, "--force")).exitCode).toBe(0);
    expect((await readdir(target)).sort()).toEqual(["README.md", "detector.onnx", "preprocessing.json"]);
  });

  it("replaces neither the detector nor what holds it, and stops between its steps", async () => {
    const source = join(folder, "open");
    for (const [target, format] of [
      [source, "onnx"],
      [source, "safetensors"],
      [folder, "safetensors"],
    ] as const) {
      const refused = await run("--out", target, "--format", format, "--force");
      expect(refused).toMatchObject({ exitCode: 2 });
      expect(refused.stderr).toContain("must be apart from");
    }
    await using detector = await loadDetector(source, { threads: 1 });
    for (const phase of ["encoding", "writing", "running"]) {
      const stop = new AbortController();
      const onPhase = (begun: string) => {
        if (begun.startsWith(phase)) stop.abort(new UserError("cancelled", "stopped."));
      };
      const request = { source, detector, target: join(folder, "stopped"), signal: stop.signal, onPhase };
      await expect(exportDetectorOnnx(request, "float32")).rejects.toMatchObject({ code: "cancelled" });
    }
    expect((await readdir(folder)).filter((name) => name.startsWith("stopped"))).toEqual([]);
    expect(await readdir(source)).toContain("model.safetensors");
  });

  it("refuses towers, a target that stands, and an export that finds something else, leaving nothing", async () => {
    const towers = await run("--out", join(folder, "no"), "--towers", "image");
    expect(towers).toMatchObject({ exitCode: 2 });
    expect(towers.stderr).toContain("a detector has no towers");
    expect((await run("--out", join(folder, "onnx"))).stderr).toContain("must not exist yet");
    const other = tinyDetector(size, { kind: "text", embedding: 3 });
    const { weights } = await overfitDetector(other, pictures.slice(0, 1), texts);
    const read = await readDetector(join(folder, "open"));
    await saveDetector(join(folder, "other"), { ...read, weights });
    await using detector = await loadDetector(join(folder, "other"), { threads: 1 });
    const request = { source: join(folder, "open"), detector, target: join(folder, "never") };
    await expect(exportDetectorOnnx(request, "float32")).rejects.toMatchObject({ code: "mismatch" });
    expect((await readdir(folder)).filter((name) => name.startsWith("never"))).toEqual([]);
  });
});
