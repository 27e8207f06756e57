import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { readTorchFile } from "./torch-file.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/torch-files", import.meta.url));
let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-torch-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function errorOf(path: string): Promise<UserError> {
  const error: unknown = await readTorchFile(path).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).message).toContain(path);
  return error as UserError;
}

describe("readTorchFile", () => {
  it.each(["state-dict.pt", "wrapped.pth", "stray.pth"])(
    "reads every dtype, stride and shared storage of %s",
    async (name) => {
      const expected = JSON.parse(await readFile(join(fixtures, "expected.json"), "utf8"));
      const tensors = await readTorchFile(join(fixtures, name));
      expect([...tensors.keys()]).toEqual(Object.keys(expected));
      for (const [key, { shape, values }] of Object.entries<{ shape: number[]; values: number[] }>(expected)) {
        expect(tensors.get(key)?.shape, key).toEqual(shape);
        expect([...(tensors.get(key)?.data ?? [])], key).toEqual(values.map(Math.fround));
      }
    },
  );

  it("reads the parameters and buffers of a TorchScript program under their names", async () => {
    const tensors = await readTorchFile(join(fixtures, "script.pt"));
    const values = Object.fromEntries([...tensors].map(([name, { data }]) => [name, [...data]]));
    expect(values).toEqual({
      "inner.0.weight": [0, 1, 2, 3, 4, 5],
      "inner.0.bias": [-1, 0.5],
      "norm.weight": [1, 1],
      "norm.bias": [0, 0],
      "norm.running_mean": [0, 0],
      "norm.running_var": [1, 1],
      "norm.num_batches_tracked": [0],
    });
    expect(tensors.get("inner.0.weight")?.shape).toEqual([2, 3]);
  });

  it("executes nothing: a pickle that calls a function is refused by the function's name", async () => {
    const error = await errorOf(join(fixtures, "hostile.pt"));
    expect(error.code).toBe("unsupported");
    expect(error.message).toMatch(/got a call of (posix|os)\.system/);
    expect(existsSync("torch-file-was-executed")).toBe(false);
  });

  it.each([
    ["legacy.pt", "PyTorch 1.6"],
    ["expected.json", "zip archive"],
    ["missing.pt", "missing.pt"],
  ])("says what is wrong with %s", async (name, words) => {
    expect((await errorOf(join(fixtures, name))).message).toContain(words);
  });

  it.each(["state-dict.pt", "script.pt"])(
    "names the file for each of 500 damaged forms of %s",
    { timeout: 60_000 },
    async (name) => {
      const good = await readFile(join(fixtures, name));
      const path = join(root, "damaged.pt");
      const rng = new Rng("damaged torch files");
      let refused = 0;
      for (let i = 0; i < 500; i++) {
        const bytes = Buffer.from(rng.uniform() < 0.3 ? good.subarray(0, rng.int(good.length)) : good);
        for (let k = rng.int(6); k >= 0; k--) if (bytes.length > 0) bytes[rng.int(bytes.length)] = rng.int(256);
        await writeFile(path, bytes);
        const outcome: unknown = await readTorchFile(path).catch((thrown: unknown) => thrown);
        if (outcome instanceof Map) continue; // a changed weight is no damage that can be seen
        expect(outcome).toBeInstanceOf(UserError);
        expect((outcome as UserError).message).toContain(path);
        refused++;
      }
      expect(refused).toBeGreaterThan(150);
    },
  );
});
