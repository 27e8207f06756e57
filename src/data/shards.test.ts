import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { rgbImage } from "../core/image.ts";
import { roleOf } from "./shard-format.ts";
import { ShardReader, ShardWriter } from "./shards.ts";

const root = mkdtempSync(join(tmpdir(), "florence-shards-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const description = {
  name: "toy",
  source: "generated",
  licence: "MIT",
  height: 4,
  width: 6,
  recipe: "none",
  createdBy: "test",
};
const image = (value: number) => rgbImage(6, 4, new Uint8Array(72).fill(value));

const partials = (name: string) => readdirSync(root).filter((one) => one.startsWith(`${name}.`));

async function toyShard(name: string, count: number): Promise<string> {
  const folder = join(root, name);
  const writer = new ShardWriter(folder, description);
  for (let i = 0; i < count; i++) {
    writer.append(image(i), { key: `k${i}`, texts: [`text ${i}`, "é\n"], weights: [2, 1], label: String(i % 3) });
  }
  writer.countRemoved("near-duplicate", 2);
  writer.countRemoved("near-duplicate");
  await writer.close();
  return folder;
}

describe("shards", () => {
  it("gives back every image and row", async () => {
    const reader = ShardReader.open(await toyShard("whole", 100));
    expect([reader.count, reader.height, reader.width]).toEqual([100, 4, 6]);
    expect(reader.manifest.removed).toEqual({ "near-duplicate": 3 });
    expect(reader.rows[41]).toEqual({ key: "k41", texts: ["text 41", "é\n"], weights: [2, 1], label: "2" });
    const target = new Uint8Array(200);
    reader.readImage(77, target, 100);
    expect([target[99], target[100], target[171], target[172]]).toEqual([0, 77, 77, 0]);
    await reader.verify();
    expect(() => reader.readImage(100, target)).toThrow(/0 … 99, got 100/);
    reader.close();
  });

  it("writes past its buffer", async () => {
    const writer = new ShardWriter(join(root, "large"), { ...description, height: 512, width: 512 });
    for (let i = 0; i < 9; i++) {
      writer.append(rgbImage(512, 512, new Uint8Array(786432).fill(i)), { key: `${i}`, texts: [] });
    }
    await writer.close();
    const reader = ShardReader.open(join(root, "large"));
    const target = new Uint8Array(786432);
    reader.readImage(8, target);
    expect(target.every((value) => value === 8)).toBe(true);
    await reader.verify();
    reader.close();
  });

  it("replaces an older shard only when the new one is complete", async () => {
    const folder = await toyShard("twice", 3);
    const abandoned = new ShardWriter(folder, description);
    abandoned.append(image(1), { key: "a", texts: ["x"] });
    expect(ShardReader.open(folder).count).toBe(3);
    abandoned.abort();
    expect(partials("twice")).toEqual([]);
    await toyShard("twice", 5);
    expect(ShardReader.open(folder).count).toBe(5);
  });

  it("keeps two writers of one folder apart: each leaves a whole set, and none a folder of its own", async () => {
    const folder = await toyShard("shared", 3);
    const [first, second] = [new ShardWriter(folder, description), new ShardWriter(`${folder}/`, description)];
    first.append(image(1), { key: "first", texts: ["x"] });
    second.append(image(2), { key: "second", texts: ["y"] });
    second.append(image(3), { key: "second too", texts: ["y"] });
    await first.close();
    const keys = () => {
      const reader = ShardReader.open(folder);
      reader.close();
      return reader.rows.map(({ key }) => key);
    };
    expect(keys()).toEqual(["first"]);
    await second.close();
    expect(keys()).toEqual(["second", "second too"]);
    const third = new ShardWriter(folder, description);
    new ShardWriter(folder, description).abort();
    await third.close();
    expect([keys(), partials("shared")]).toEqual([[], []]);
  });

  it("tells a set's role, also where an older version said it in the recipe alone", async () => {
    const writer = new ShardWriter(join(root, "role"), { ...description, role: "evaluation" });
    expect(roleOf(await writer.close())).toBe("evaluation");
    expect(roleOf({ recipe: "emoji, training, 64×64, crop" })).toBe("training");
    expect(roleOf({ recipe: "none" })).toBeUndefined();
  });

  it("refuses a misshapen image and a malformed row", () => {
    const writer = new ShardWriter(join(root, "refused"), description);
    expect(() => writer.append(rgbImage(4, 6), { key: "turned", texts: [] })).toThrow(
      /"turned" must be 4×6 RGB, got 6×4/,
    );
    expect(() => writer.append(image(0), { key: "w", texts: ["a"], weights: [1, 2] })).toThrow(
      /weights must be as many/,
    );
    writer.abort();
  });

  it("reports damaged folders by file", async () => {
    const folder = await toyShard("damaged", 4);
    truncateSync(join(folder, "images.bin"), 100);
    expect(() => ShardReader.open(folder)).toThrow(/images\.bin: must be 288 bytes, got 100/);
    writeFileSync(join(folder, "rows.jsonl"), '{"key":"a","texts":["b"]}\n{"key":');
    expect(() => ShardReader.open(folder)).toThrow(/rows\.jsonl: line 2/);
    writeFileSync(join(folder, "manifest.json"), '{"format":"other/9"}');
    expect(() => ShardReader.open(folder)).toThrow(/manifest\.json: format/);
    expect(() => ShardReader.open(join(root, "absent"))).toThrow(/manifest\.json: must exist/);
  });

  it("finds changed pixels by checksum", async () => {
    const folder = await toyShard("changed", 4);
    writeFileSync(join(folder, "images.bin"), new Uint8Array(288));
    await expect(ShardReader.open(folder).verify()).rejects.toMatchObject({ code: "mismatch" });
  });
});
