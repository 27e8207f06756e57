import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { type ToyLog, toyModel } from "./toy-model.ts";

let folder: string;
let photos: string;
let log: ToyLog;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-search-"));
  photos = join(folder, "photos");
  log = { imageBatches: [], texts: [], disposed: 0 };
  await mkdir(join(photos, "more"), { recursive: true });
  await writePicture(join(photos, "apple.png"), "red");
  await writePicture(join(photos, "more/leaf.png"), "lime");
  await writePicture(join(photos, "sea.png"), "blue");
  await writePicture(join(photos, "snow.png"), "white");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function search(sentence: string, { words = [] as string[], fingerprint = "toy" } = {}) {
  log.imageBatches = [];
  return runFlorence(["search", photos, sentence, ...words], {
    loadModel: async () => toyModel({ log, fingerprint }),
    cacheFolder: join(folder, "cache"),
  });
}

function embeddedImages(): number {
  return log.imageBatches.reduce((sum, size) => sum + size, 0);
}

describe("florence search", () => {
  it("lists the best matches first, as JSON lines", async () => {
    const { exitCode, stdout } = await search("something green", { words: ["--json", "--top", "2"] });
    const lines = jsonLines(stdout);
    expect(lines.map(({ path }) => path)).toEqual([join(photos, "more/leaf.png"), join(photos, "snow.png")]);
    expect(lines[0].score).toBeCloseTo(1, 6);
    expect(lines[1].score).toBeCloseTo(Math.sqrt(1 / 3), 6);
    expect(exitCode).toBe(0);
  });

  it("leaves out what scores below the threshold, and is still content", async () => {
    const found = await search("red", { words: ["--threshold", "0.9"] });
    expect(found.stdout).toBe(`1.0000  ${join(photos, "apple.png")}\n`);
    expect(await search("purple", { words: ["--threshold", "0.9"] })).toMatchObject({ exitCode: 0, stdout: "" });
  });

  it("embeds only what is new or changed, and forgets what is gone", async () => {
    await search("red");
    expect(embeddedImages()).toBe(4);
    expect((await search("blue")).stderr).toContain("0 embedded, 4 from the cache, 0 forgotten");
    expect(embeddedImages()).toBe(0);

    await writePicture(join(photos, "sun.png"), "yellow");
    await writePicture(join(photos, "sea.png"), "red", 30, 30); // changed
    await utimes(join(photos, "snow.png"), 1, 1); // same size, other time
    await rename(join(photos, "apple.png"), join(photos, "cherry.png"));
    await rm(join(photos, "more/leaf.png"));
    const { stderr, stdout } = await search("red", { words: ["--top", "2"] });
    expect(stderr).toContain("4 embedded, 0 from the cache, 2 forgotten");
    expect(stdout).toBe(`1.0000  ${join(photos, "cherry.png")}\n1.0000  ${join(photos, "sea.png")}\n`);
    expect((await search("red")).stderr).toContain("0 embedded, 4 from the cache");
  });

  it("keeps an index for each model", async () => {
    await search("red");
    await search("red", { fingerprint: "another" });
    expect(embeddedImages()).toBe(4);
    await search("red");
    expect(embeddedImages()).toBe(0);
  });

  it("finds the same pictures however the folder is named", async () => {
    await search("red");
    photos = join(photos, "more", "..", ".");
    expect((await search("red")).stderr).toContain("4 from the cache");
  });

  it("reports pictures that cannot be used, every time, and finds the others", async () => {
    await writeFile(join(photos, "broken.jpg"), "no picture");
    for (let run = 0; run < 2; run++) {
      const { exitCode, stdout } = await search("blue", { words: ["--json", "--top", "1"] });
      const lines = jsonLines(stdout);
      expect(lines[0]).toMatchObject({ path: join(photos, "broken.jpg"), error: { code: "unsupported" } });
      expect(lines[1]).toMatchObject({ path: join(photos, "sea.png") });
      expect(exitCode).toBe(3);
    }
  });

  it("works without a cache that can be written", async () => {
    await writeFile(join(folder, "cache"), "a file where the folder should be");
    const { exitCode, stdout, stderr } = await search("blue", { words: ["--top", "1"] });
    expect(stdout).toBe(`1.0000  ${join(photos, "sea.png")}\n`);
    expect(stderr).toContain("Embeddings are not kept for the next run");
    expect(exitCode).toBe(0);
  });

  it("refuses a folder that is missing or none, and an empty sentence", async () => {
    photos = join(folder, "nowhere");
    expect(await search("red")).toMatchObject({ exitCode: 4, stderr: expect.stringContaining("nowhere: must exist") });
    photos = join(folder, "photos/sea.png");
    expect(await search("red")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("must be a folder") });
    expect(await search(" ")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("must not be empty") });
  });
});
