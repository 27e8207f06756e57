import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { exportCheckpoint, exportOnnx } from "../../src/zoo/export-model.ts";
import type { FlorenceModel, LoadOptions, ModelLoader } from "../../src/zoo/florence-model.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { runFlorence } from "./run-florence.ts";
import { saveTinyClip } from "./tiny-clip.ts";

let root = "";
let folder = ""; // anew for each test
let model: FlorenceModel;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-export-target-"));
  await saveTinyClip(join(root, "clip"));
  model = await loadModel(join(root, "clip"));
});
afterAll(async () => {
  await model.dispose();
  await rm(root, { recursive: true, force: true });
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, "test-"));
  await mkdir(at("keep"));
  await cp(join(root, "clip"), at("keep", "clip"), { recursive: true });
  await writeFile(at("keep", "thesis.txt"), "two years of work");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Another than the shared one, since a command frees the model it was given. */
const run = (words: readonly string[], signal?: AbortSignal, load: ModelLoader = loadModel) =>
  runFlorence(["export", "-m", at("keep", "clip"), ...words], {
    loadModel: load,
    cacheFolder: join(root, "cache"),
    ...(signal && { signal }),
  });

async function everything(): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort();
}

describe("what export --force may replace", () => {
  it.each([
    ["the folder that holds the source", "keep", "holds it"],
    ["the source", "keep/clip", "is it"],
    ["a folder in the source", "keep/clip/onnx", "lies in it"],
    ["the source by a link", "link", "is it"],
    ["a folder in the source by a link", "link/new/onnx", "lies in it"],
    ["the source with a slash", "keep/clip/", "is it"],
  ])("not %s", async (_, target, relation) => {
    await symlink(at("keep", "clip"), at("link"));
    const before = await everything();
    for (const format of ["onnx", "safetensors"]) {
      const { exitCode, stderr } = await run(["--out", join(at(), target), "--format", format, "--force"]);
      expect(exitCode, stderr).toBe(2);
      expect(stderr).toMatch(
        new RegExp(`must be apart from .*, got a folder that ${relation}\\. Name another folder\\.`),
      );
    }
    expect(await everything()).toEqual(before);
    expect(await readFile(at("keep", "thesis.txt"), "utf8")).toBe("two years of work");
  });

  it("not a folder of anything else, naming what stands in the way", async () => {
    await mkdir(at("notes"));
    await writeFile(at("notes", "a.txt"), "mine");
    await writeFile(at("file"), "mine");
    await mkdir(at("foreign"));
    await writeFile(at("foreign", "config.json"), JSON.stringify({ model_type: "clip" }));
    await exportCheckpoint({ source: at("keep", "clip"), model, target: at("mixed") }, "F32");
    await mkdir(at("mixed", "photos"));
    const before = await everything();
    for (const [target, got] of [
      ["notes", "got a.txt in it. Move it away"],
      ["file", "must be a folder to be replaced"],
      ["foreign", "got no config.json or preprocessing.json of such a one"],
      ["mixed", "got photos/ in it. Move it away"],
    ] as const) {
      const { exitCode, stderr } = await run(["--out", at(target), "--force"]);
      expect(exitCode, stderr).toBe(2);
      expect(stderr).toContain(got);
    }
    expect(await everything()).toEqual(before);
  });

  it("an empty folder, a model and an export, with a slash or without", async () => {
    await mkdir(at("out"));
    for (const [words, file] of [
      [["--towers", "image"], "image.onnx"],
      [["--format", "safetensors"], "model.safetensors"],
      [["--towers", "text"], "text.onnx"],
    ] as const) {
      const { exitCode, stderr } = await run(["--out", `${at("out")}/`, "--force", ...words]);
      expect(exitCode, stderr).toBe(0);
      expect(await readdir(at("out"))).toContain(file);
    }
    expect((await readdir(folder)).sort()).toEqual(["keep", "out"]);
  });

  it("not what comes to stand there in the meantime", async () => {
    const onPhase = (phase: string) => {
      if (phase.startsWith("running")) void mkdir(at("late")).then(() => writeFile(at("late", "mine.txt"), "mine"));
    };
    const request = { source: at("keep", "clip"), model, target: at("late"), force: true, onPhase };
    await expect(exportOnnx(request, "image")).rejects.toThrow("got mine.txt in it");
    expect((await readdir(folder)).sort()).toEqual(["keep", "late"]);
  });
});

describe("where export may write", () => {
  it("makes a folder whose name ends in a slash, and those above it", async () => {
    const { exitCode, stderr } = await run(["--out", `${at("new", "out")}/`, "--towers", "image"]);
    expect(exitCode, stderr).toBe(0);
    expect(await readdir(at("new"))).toEqual(["out"]);
  });

  it("refuses a place under a file before the model is loaded", async () => {
    const never = async () => {
      throw new Error("loaded");
    };
    const { exitCode, stderr } = await run(["--out", at("keep", "thesis.txt", "out")], undefined, never);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("thesis.txt: must be a folder, since");
    expect(stderr).toContain("Name another folder.");
  });
});

describe("export that is stopped", () => {
  const stoppedAt = async (phase: string, write: (typeof writers)[number]) => {
    const stop = new AbortController();
    const onPhase = (begun: string) => {
      if (begun.startsWith(phase)) stop.abort(new UserError("cancelled", "stopped by SIGINT."));
    };
    const { signal } = stop;
    return write({ source: at("keep", "clip"), model, target: at("out"), force: true, signal, onPhase });
  };
  const writers = [
    (request: Parameters<typeof exportOnnx>[0]) => exportOnnx(request, "both"),
    (request: Parameters<typeof exportOnnx>[0]) => exportCheckpoint(request, "F32"),
  ] as const;

  it.each([
    ["reading", writers[0]],
    ["building image.onnx", writers[0]],
    ["encoding text.onnx", writers[0]],
    ["writing", writers[0]],
    ["running", writers[0]],
    ["reading", writers[1]],
    ["writing", writers[1]],
  ] as const)("while %s leaves the old folder", async (phase, write) => {
    await exportOnnx({ source: at("keep", "clip"), model, target: at("out") }, "image");
    const before = await everything();
    await expect(stoppedAt(phase, write)).rejects.toMatchObject({ code: "cancelled" });
    expect(await everything()).toEqual(before);
  });

  it("while it compares, from the command line, ends with 130 and leaves the old folder", async () => {
    await exportOnnx({ source: at("keep", "clip"), model, target: at("out") }, "image");
    const before = await everything();
    const stop = new AbortController();
    let disposed = 0;
    const load = async (): Promise<FlorenceModel> => ({
      ...model,
      embedTexts: async (_, options) => {
        stop.abort(new UserError("cancelled", "stopped by SIGINT."));
        return new Promise((_resolve, reject) => reject(options?.signal?.reason ?? new Error("not passed on")));
      },
      embedImages: (images, options) => model.embedImages(images, options),
      dispose: async () => {
        disposed++;
      },
    });
    const { exitCode, stderr } = await run(["--out", at("out"), "--force"], stop.signal, load);
    expect([exitCode, stderr, disposed]).toEqual([130, "florence: stopped by SIGINT.\n", 1]);
    expect(await everything()).toEqual(before);
  });

  it("doctor gives its signal to the loader", async () => {
    const stop = new AbortController();
    const given: (LoadOptions | undefined)[] = [];
    const load = async (_: string, options?: LoadOptions): Promise<FlorenceModel> => {
      given.push(options);
      stop.abort(new UserError("cancelled", "stopped by SIGINT."));
      throw stop.signal.reason;
    };
    const { exitCode } = await runFlorence(["doctor", "--model", at("keep", "clip")], {
      ...{ loadModel: load, cacheFolder: join(root, "cache"), signal: stop.signal },
    });
    expect([exitCode, given[0]?.signal]).toEqual([130, stop.signal]);
  });
});
