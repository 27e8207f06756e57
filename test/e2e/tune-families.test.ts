import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { runFlorence } from "./run-florence.ts";
import { writeColourSet } from "./tiny-model.ts";

const checkpoints = fileURLToPath(new URL("../fixtures/checkpoints", import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-tune-families-"));
  await writeColourSet(join(folder, "colours"), 3);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("florence tune on other families", () => {
  it.each([
    ["clip-hugging-face", ["--tune-text"]],
    ["open-clip", ["--method", "head"]],
    ["siglip", ["--tune-text"]],
    ["siglip2", ["--method", "lora", "--tower", "both"]],
    ["unicl", ["--layer-decay", "0.7"]],
  ])("%s %j: tunes, and the result loads in our own layout", async (name, words) => {
    const out = join(folder, name);
    const { exitCode, stderr } = await runFlorence(
      [
        ...["tune", join(folder, "colours"), "--model", join(checkpoints, name), "--out", out, "--steps", "2"],
        ...["--batch", "3", "--templates", "bare", "--json", ...words],
      ],
      { loadModel, cacheFolder: join(folder, "cache") },
    );
    expect(exitCode, stderr).toBe(0);
    const [before, after] = [await loadModel(join(checkpoints, name)), await loadModel(join(out, "model"))];
    expect(after.scoring.kind).toBe(before.scoring.kind);
    expect(after.embedDim).toBe(before.embedDim);
    expect(after.fingerprint).not.toBe(before.fingerprint);
    const [[original], [text]] = [await before.embedTexts(["a red field"]), await after.embedTexts(["a red field"])];
    const cosine = text.reduce((sum, value, i) => sum + value * original[i], 0);
    if (words.includes("--tune-text") || words.includes("lora")) expect(cosine).toBeGreaterThan(0.5);
    else expect(text).toEqual(original); // tokens and tower are the same
    await before.dispose();
    await after.dispose();
  });
});
