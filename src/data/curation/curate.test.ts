import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { Rng } from "../../core/rng.ts";
import { ShardReader, ShardWriter } from "../shards.ts";
import { curateShards } from "./curate.ts";
import { curationMarkdown } from "./curation-report.ts";
import { defaultMatchRule } from "./near-duplicates.ts";

const root = mkdtempSync(join(tmpdir(), "florence-curate-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Four coloured quarters. */
function quarters(seed: number): RgbImage {
  const rng = new Rng(seed);
  const colours = Array.from({ length: 48 }, () => rng.int(240));
  const image = rgbImage(16, 16);
  for (let i = 0; i < 256; i++) {
    const cell = Math.floor(i / 64) * 4 + Math.floor((i % 16) / 4);
    for (let channel = 0; channel < 3; channel++) image.data[i * 3 + channel] = colours[cell * 3 + channel];
  }
  return image;
}

async function shard(
  name: string,
  rows: readonly [seed: number, text: string][],
  role?: "training" | "evaluation",
): Promise<string> {
  const folder = join(root, name);
  const writer = new ShardWriter(folder, {
    name,
    source: "drawn",
    licence: "MIT",
    height: 16,
    width: 16,
    recipe: "none",
    createdBy: "test",
    ...(role && { role }),
  });
  writer.countRemoved("blank", 2);
  for (const [index, [seed, text]] of rows.entries())
    writer.append(quarters(seed), { key: `${name}/${index}`, texts: [text] });
  await writer.close();
  return folder;
}

describe("curateShards", () => {
  it("rewrites a training set without evaluation pictures and its own copies", async () => {
    const rows: [number, string][] = [
      [1, "a"],
      [2, "b"],
      [3, "c"],
      [2, "b"],
      [2, "other words"],
      [4, "d"],
    ];
    const training = await shard("training", rows);
    const evaluation = await shard("evaluation", [
      [9, "z"],
      [3, "y"],
    ]);
    const options = { training: [training], evaluation: [evaluation], rule: defaultMatchRule, sheetFolder: root };
    const dry = await curateShards({ ...options, dryRun: true });
    expect(dry.after).toEqual({ training: 4 });
    expect(ShardReader.open(training).count).toBe(6);

    const report = await curateShards(options);
    expect(
      report.pairs.map(({ against, removed }) => [against, removed.map(({ key, keptKey }) => [key, keptKey])]),
    ).toEqual([
      ["evaluation", [["training/2", "evaluation/1"]]],
      ["training", [["training/3", "training/1"]]],
    ]);
    const reader = ShardReader.open(training);
    expect(reader.rows.map(({ key }) => key)).toEqual(["training/0", "training/1", "training/4", "training/5"]);
    expect(reader.manifest.removed).toEqual({
      blank: 2,
      "copy of a picture in evaluation": 1,
      "duplicate with equal texts": 1,
    });
    await reader.verify();
    reader.close();
    expect(existsSync(join(root, "training--evaluation.png"))).toBe(true);

    const markdown = curationMarkdown(report);
    expect(markdown).toContain("| training | 6 | 4 |");
    expect(markdown).toContain("`training/2` “c” = `evaluation/1` “y” (difference 0)");
    const again = await curateShards(options);
    expect(again.before).toEqual(again.after);
  });

  it("refuses to clean an evaluation set, or a set of itself, be it by a link", async () => {
    const evaluation = await shard("held", [[1, "a"]], "evaluation");
    const training = await shard("to-train", [[2, "b"]], "training");
    const curated = (cleaned: string, against: string) =>
      curateShards({ training: [cleaned], evaluation: [against], rule: defaultMatchRule });
    await expect(curated(evaluation, training)).rejects.toThrow("got one for evaluation");
    await expect(curated(training, training)).rejects.toThrow("got itself among them");
    const link = join(root, "linked");
    symlinkSync(training, link);
    await expect(curated(training, link)).rejects.toThrow("got itself among them");
    expect([ShardReader.open(evaluation).count, ShardReader.open(training).count]).toEqual([1, 1]);
  });

  it("never writes a set of nothing, and then no other either", async () => {
    const evaluation = await shard("all", [
      [1, "a"],
      [2, "b"],
    ]);
    const sound = await shard("sound", [
      [2, "b"],
      [3, "c"],
    ]);
    const copied = await shard("copied", [[1, "other words"]]);
    const options = { training: [sound, copied], evaluation: [evaluation], rule: defaultMatchRule };
    await expect(curateShards(options)).rejects.toThrow(`${copied}: curation must leave pictures`);
    expect([ShardReader.open(sound).count, ShardReader.open(copied).count]).toEqual([2, 1]);
    expect((await curateShards({ ...options, dryRun: true })).after).toEqual({ sound: 1, copied: 0 });
    await curateShards({ ...options, training: [sound] });
    expect(ShardReader.open(sound).count).toBe(1);
  });
});
