import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-embed-"));
  await writePicture(join(folder, "apple.png"), "#ff8040");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence(["embed", ...words], { loadModel: async () => toyModel(), cacheFolder: join(folder, "cache") });
}

describe("florence embed", () => {
  it("prints all numbers of pictures and sentences as JSON lines, exact to the float32", async () => {
    const { exitCode, stdout } = await run(folder, "--text", "red", "--text", "a white wall", "--json");
    const lines = jsonLines(stdout) as { path?: string; text?: string; embedding: number[] }[];
    expect(lines.map(({ path, text }) => path ?? text)).toEqual([join(folder, "apple.png"), "red", "a white wall"]);
    expect(lines[1].embedding).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
    const norm = Math.hypot(255, 128, 64);
    expect(lines[0].embedding.slice(0, 3).map(Math.fround)).toEqual(
      [255, 128, 64].map((c) => expect.closeTo(c / norm, 6)),
    );
    expect(lines[2].embedding[0]).toSatisfy((value: number) => Math.fround(value) === Math.fround(1 / Math.sqrt(3)));
    expect(exitCode).toBe(0);
  });

  it("prints the first numbers and the norm for humans", async () => {
    const { stdout } = await run("--text", "green");
    expect(stdout).toBe('"green"  [0.0000, 1.0000, 0.0000, 0.0000, …]  8 numbers, norm 1.0000\n');
  });

  it("answers 3 when a part failed, 4 when all did", async () => {
    await writeFile(join(folder, "broken.png"), "");
    expect(await run(join(folder, "broken.png"), "--text", "red")).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/broken\.png: .*\n.*1 of 2 inputs failed/),
    });
    expect((await run(join(folder, "broken.png"))).exitCode).toBe(4);
  });

  it("asks for something to embed", async () => {
    expect(await run()).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("pictures or sentences are needed"),
    });
    expect(await run("--text", "")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("may be empty") });
  });

  it("embeds at another image size, as the model's own library does", async () => {
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const checkpoint = join(root, "test/fixtures/checkpoints/open-clip");
    const words = ["embed", join(root, "samples/cat.jpg"), "--model", checkpoint, "--json", "--image-size"];
    const { stdout, exitCode } = await runFlorence([...words, "50"], { loadModel, cacheFolder: join(folder, "cache") });
    expect(exitCode).toBe(0);
    const [{ embedding }] = jsonLines(stdout) as { embedding: number[] }[];
    const cases = JSON.parse(await readFile(join(checkpoint, "resized.json"), "utf8"));
    const expected = cases[1].images[0].embedding as number[];
    expect(cases[1].size).toBe(50);
    for (const [i, value] of expected.entries()) expect(Math.abs(embedding[i] - value)).toBeLessThan(2e-6);
    const refused = await runFlorence([...words, "2"], { loadModel, cacheFolder: join(folder, "cache") });
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("imageSize must be a whole number") });
    const nonsense = await runFlorence([...words, "big"], { loadModel, cacheFolder: join(folder, "cache") });
    expect(nonsense).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("whole number from 1 to 4096") });
  });
});
