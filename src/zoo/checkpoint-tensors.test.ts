import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeSafetensors } from "../io/safetensors.ts";
import { huggingFaceWeights, openClipWeights } from "./checkpoint-files.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "florence-tensors-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function weights(file: string, values: Record<string, number>): Promise<void> {
  const tensors = Object.entries(values).map(([name, value]) => {
    return [name, { shape: [1], data: Float32Array.of(value) }] as const;
  });
  await writeSafetensors(join(folder, file), new Map(tensors));
}

function index(weightMap: unknown, file = "model.safetensors.index.json"): void {
  writeFileSync(join(folder, file), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

const read = async (order = huggingFaceWeights) => readCheckpointTensors(await CheckpointFolder.open(folder), order);

describe("weights of a checkpoint folder", () => {
  it("prefers model.safetensors to its index, and each layout its own names", async () => {
    await weights("open_clip_model.safetensors", { a: 2 });
    await expect(read()).rejects.toMatchObject({ code: "not-found" });
    await weights("model.safetensors", { a: 1 });
    index({ a: "missing.safetensors" });
    expect([...(await read()).take("a", [1])]).toEqual([1]);
    expect([...(await read(openClipWeights)).take("a", [1])]).toEqual([2]);
  });

  it("joins the shards of an index", async () => {
    await weights("one.safetensors", { a: 1, b: 2 });
    await weights("two.safetensors", { c: 3 });
    index({ a: "one.safetensors", c: "two.safetensors", b: "one.safetensors" });
    const tensors = await read();
    expect(["a", "b", "c"].map((name) => tensors.take(name, [1])[0])).toEqual([1, 2, 3]);
    tensors.finish();
  });

  it.each([
    ["a missing shard", { a: "gone.safetensors" }, "not-found", /index\.json.*"gone\.safetensors"/],
    ["a path out of the folder", { a: "../one.safetensors" }, "not-found", /"\.\.\/one\.safetensors"/],
    ["a tensor that its shard lacks", { a: "one.safetensors", z: "one.safetensors" }, "mismatch", /must hold z/],
    ["a tensor that is not listed", {}, "mismatch", /b must be listed/],
    ["no map", undefined, "unsupported", /weight_map/],
  ])("refuses %s", async (name, map, code, message) => {
    await weights("one.safetensors", name.includes("not listed") ? { a: 1, b: 2 } : { a: 1 });
    index(name.includes("not listed") ? { a: "one.safetensors" } : map);
    await expect(read()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("says what is there when there are no safetensors", async () => {
    await expect(read()).rejects.toMatchObject({ code: "not-found", message: expect.stringContaining(folder) });
    writeFileSync(join(folder, "pytorch_model.bin"), "");
    await expect(read()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/pytorch_model/),
    });
  });

  it("reads a folder's one PyTorch file where there is no safetensors, and asks which of several", async () => {
    const file = fileURLToPath(new URL("../../test/fixtures/torch-files/state-dict.pt", import.meta.url));
    copyFileSync(file, join(folder, "one.pt"));
    expect((await read()).take("float", [6, 5])).toHaveLength(30);
    copyFileSync(file, join(folder, "other.pth"));
    await expect(read()).rejects.toThrow("got several: one.pt, other.pth");
    copyFileSync(file, join(folder, "pytorch_model.bin"));
    expect((await read()).take("float", [6, 5])).toHaveLength(30);
    await weights("model.safetensors", { a: 1 });
    expect([...(await read()).take("a", [1])]).toEqual([1]);
  });

  it("joins PyTorch shards of an index alike", async () => {
    const file = fileURLToPath(new URL("../../test/fixtures/torch-files/state-dict.pt", import.meta.url));
    copyFileSync(file, join(folder, "shard-1.bin"));
    const names = "float half bfloat double long byte flag turned part scalar nothing learnt".split(" ");
    index(Object.fromEntries(names.map((name) => [name, "shard-1.bin"])), "pytorch_model.bin.index.json");
    expect((await read()).take("turned", [5, 6])).toHaveLength(30);
  });
});
