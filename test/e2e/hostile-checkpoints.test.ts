import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";

const fixtures = fileURLToPath(new URL("../fixtures/checkpoints", import.meta.url));
let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-hostile-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Cut short, bytes changed, bytes put in, or a number in its text made huge. */
function damaged(good: Buffer, rng: Rng): Buffer {
  const kind = rng.int(4);
  if (kind === 0) return good.subarray(0, rng.int(good.length));
  if (kind === 1) {
    const digits = [...good.subarray(0, 4096).toString("latin1").matchAll(/\d+/g)];
    if (digits.length === 0) return good.subarray(1);
    const { index, 0: number } = digits[rng.int(digits.length)] as RegExpExecArray;
    const huge = ["99999999999", "-1", "1e308", "[[[[[[[[", "0"][rng.int(5)] as string;
    return Buffer.concat([good.subarray(0, index), Buffer.from(huge), good.subarray(index + number.length)]);
  }
  const bytes = Buffer.from(good);
  const reach = rng.uniform() < 0.7 ? Math.min(2048, bytes.length) : bytes.length; // headers more often than values
  for (let k = rng.int(8); k >= 0; k--) bytes[rng.int(reach)] = rng.int(256);
  if (kind === 2) return bytes;
  const at = rng.int(bytes.length);
  return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(rng.int(64), rng.int(256)), bytes.subarray(at)]);
}

describe("damaged checkpoint folders", () => {
  it.each([
    ["clip-hugging-face", ["config.json", "preprocessor_config.json", "merges.txt", "model.safetensors"]],
    ["open-clip", ["open_clip_config.json", "merges.txt", "open_clip_model.safetensors"]],
  ])("%s: 500 of them give an error that names a file, or load", { timeout: 120_000 }, async (layout, files) => {
    const folder = join(root, layout);
    await cp(join(fixtures, layout), folder, { recursive: true });
    const rng = new Rng(`hostile ${layout}`);
    const before = process.memoryUsage().rss;
    let refused = 0;
    for (let i = 0; i < 500; i++) {
      const file = files[i % files.length];
      const good = await readFile(join(fixtures, layout, file));
      await writeFile(join(folder, file), damaged(good, rng));
      const started = performance.now();
      const outcome: unknown = await readCheckpoint(folder).catch((thrown: unknown) => thrown);
      expect(performance.now() - started).toBeLessThan(5_000);
      await writeFile(join(folder, file), good);
      if (!(outcome instanceof Error)) continue; // a changed weight or merge is no damage that can be seen
      expect(outcome, `${file} of case ${i}: ${outcome.stack}`).toBeInstanceOf(UserError);
      expect(outcome.message).toContain(folder);
      refused++;
    }
    expect(refused).toBeGreaterThan(200);
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
  });
});
