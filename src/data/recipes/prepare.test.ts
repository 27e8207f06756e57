import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { ShardReader } from "../shards.ts";
import { findRecipe, recipes } from "./catalog.ts";
import { decodeSquare, type SquareFit } from "./pictures.ts";
import { localFolder, prepareRecipe } from "./prepare.ts";
import type { Recipe } from "./recipe.ts";

const root = mkdtempSync(join(tmpdir(), "florence-recipes-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A red rectangle in the middle of a transparent picture. */
function drawing(width: number, height: number, inside: number): Promise<Buffer> {
  const red = { create: { width: inside, height: inside, channels: 4, background: "#ff0000ff" } } as const;
  return sharp({ create: { width, height, channels: 4, background: "#00000000" } })
    .composite([{ input: red }])
    .png()
    .toBuffer();
}

async function pixels(bytes: Buffer, fit: SquareFit): Promise<(x: number, y: number) => number[]> {
  const { data } = await decodeSquare(bytes, 16, fit, "drawing");
  return (x, y) => [...data.subarray((y * 16 + x) * 3, (y * 16 + x) * 3 + 3)];
}

describe("decodeSquare", () => {
  it("lays transparency on white and pads the shorter side", async () => {
    const at = await pixels(await drawing(64, 32, 16), "pad");
    expect(at(8, 8)).toEqual([255, 0, 0]);
    expect([at(8, 1), at(0, 8), at(15, 15)]).toEqual([
      [255, 255, 255],
      [255, 255, 255],
      [255, 255, 255],
    ]);
  });

  it("cuts a drawing's own borders off", async () => {
    const at = await pixels(await drawing(64, 32, 16), "trim-pad");
    expect(at(1, 1)).toEqual([255, 0, 0]);
    expect(at(14, 14)).toEqual([255, 0, 0]);
  });

  it("crops the middle", async () => {
    const at = await pixels(await drawing(64, 16, 16), "crop");
    expect([at(1, 1), at(14, 14)]).toEqual([
      [255, 0, 0],
      [255, 0, 0],
    ]);
  });

  it("names what does not decode", async () => {
    await expect(decodeSquare(Buffer.from("no picture"), 16, "pad", "a.png")).rejects.toThrow(
      /^a\.png: must be a picture/,
    );
  });
});

const toy: Recipe = {
  name: "toy",
  summary: "",
  licence: "MIT",
  source: "drawn here",
  role: "training",
  size: 8,
  fit: "padded",
  packages: [],
  folder: "toy-data",
  async *samples({ leaveOut, sourceFolder }) {
    sourceFolder();
    leaveOut("odd");
    const red = await drawing(20, 20, 10);
    const white = await drawing(20, 20, 1).then((bytes) => sharp(bytes).resize(1, 1).png().toBuffer());
    for (const [key, bytes] of Object.entries({ a: red, broken: Buffer.from("x"), white, b: red })) {
      yield { key, texts: [key], weights: [1], label: key, decode: (size) => decodeSquare(bytes, size, "pad", key) };
    }
  },
};

describe("prepareRecipe", () => {
  it("writes the shard, without what is blank or broken, and reports it", async () => {
    mkdirSync(join(root, "toy-data"));
    const failures: string[] = [];
    const manifest = await prepareRecipe(toy, {
      packageFolder: join(root, "packages"),
      shardFolder: join(root, "shards", "toy"),
      source: root,
      onFailure: (key) => failures.push(key),
    });
    expect(manifest).toMatchObject({ name: "toy", count: 2, height: 8, licence: "MIT", source: "drawn here" });
    expect(manifest.removed).toEqual({ odd: 1, "not decodable": 1, blank: 1 });
    expect(failures).toEqual(["broken"]);
    const reader = ShardReader.open(join(root, "shards", "toy"));
    expect(reader.rows.map(({ key }) => key)).toEqual(["a", "b"]);
    reader.close();
  });

  it("says where local data must be", () => {
    expect(() => localFolder(toy, undefined)).toThrow(/Pass --source/);
    expect(() => localFolder(toy, join(root, "shards"))).toThrow(/must be there, got nothing/);
    expect(localFolder(toy, join(root, "toy-data"))).toBe(join(root, "toy-data"));
  });
});

describe("catalog", () => {
  it("has one recipe a name and a pinned checksum for every package", () => {
    expect(new Set(recipes.map(({ name }) => name)).size).toBe(recipes.length);
    for (const { packages } of recipes) {
      for (const { sha256 } of packages) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(findRecipe("emoji-twitter").role).toBe("evaluation");
    expect(() => findRecipe("imagenet")).toThrow(/must be one of tiny-imagenet-32, /);
  });
});
