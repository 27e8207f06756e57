import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyRecipe } from "../../../test/e2e/tiny-pretraining.ts";
import { ShardReader, ShardWriter } from "../../data/shards.ts";
import { ContrastiveBatches, checkStageData, renderings } from "./contrastive-batches.ts";
import { type PretrainStage, parsePretrainRecipe } from "./recipe.ts";
import { shortTextTemplates } from "./short-text-templates.data.ts";
import type { TextSource } from "./text-feeds.ts";
import { textLabel } from "./text-label.ts";

const root = mkdtempSync(join(tmpdir(), "florence-batches-"));
const shards = new Map<string, ShardReader>();

/** Pictures of one colour; the names of "animals" have other texts beside them, one of them another picture's name. */
const sets: Readonly<Record<string, readonly string[][]>> = {
  animals: [
    ["bullfrog", "frog", "animal"],
    ["frog", "animal"],
    ["owl", "bird"],
    ["bird", "animal"],
  ],
  things: [["cup"], ["frog"]],
};

beforeAll(async () => {
  for (const [name, rows] of Object.entries(sets)) {
    const about = { name, source: "drawn", licence: "MIT", recipe: "none", createdBy: "test" };
    const writer = new ShardWriter(join(root, name), { ...about, height: 16, width: 16 });
    for (const [i, texts] of rows.entries()) {
      writer.append({ height: 16, width: 16, data: new Uint8Array(768).fill(i) }, { key: `${i}`, texts });
    }
    await writer.close();
    shards.set(name, ShardReader.open(join(root, name)));
  }
});
afterAll(() => {
  for (const shard of shards.values()) shard.close();
  rmSync(root, { recursive: true, force: true });
});

function stageOf(change: Partial<PretrainStage>): PretrainStage {
  const { stages } = parsePretrainRecipe(tinyRecipe(9), "tiny");
  const [stage] = stages as [PretrainStage];
  return { ...stage, templatedTexts: false, augment: {}, perBatch: { animals: 4, things: 2 }, ...change };
}

function batchesOf(stage: PretrainStage): ContrastiveBatches {
  const bank = { width: 1, copy: () => undefined }; // the features do not matter
  return new ContrastiveBatches(stage, shards, { kind: "features", bank } as unknown as TextSource, 3);
}

describe("renderings", () => {
  it("puts a text into each template as it is, whatever signs it has", () => {
    const text = "$& $$";
    expect(renderings(text, true)).toEqual(shortTextTemplates.map((template) => template.split("{}").join(text)));
    expect(renderings(text, false)).toEqual([text]);
  });
});

describe("ContrastiveBatches", () => {
  it("tells an image apart from its set's further names, but from none that is true of it", () => {
    const batches = batchesOf(stageOf({ extraTexts: { animals: 4, things: 2 } }));
    const names = ["bullfrog", "frog", "owl", "bird", "cup", "frog"];
    let own = 0;
    for (let step = 0; step < 8; step++) {
      const { labels, pixels, further } = batches.batchAt(step);
      const extra = [...labels.subarray(6)].map((label, j) => {
        const of = j < 4 ? names.slice(0, 4) : names.slice(4);
        return of.find((name) => textLabel(name) === label) as string;
      });
      for (let i = 0; i < 6; i++) {
        const row = pixels[i * 768] as number; // its colour
        const texts = sets[i < 4 ? "animals" : "things"]?.[row] as string[];
        for (const [j, name] of extra.entries()) {
          const isOfSet = i < 4 === j < 4;
          const isDrawn = textLabel(name) === labels[i];
          const isTrue = texts.includes(name);
          expect(further?.[i * 6 + j], `${texts.join()} and ${name}`).toBe(Number(isOfSet && (isDrawn || !isTrue)));
          if (isOfSet && isTrue && !isDrawn) own++;
        }
      }
    }
    expect(own).toBeGreaterThan(5); // such names were drawn
  });

  it("has no such table without further texts", () => {
    expect(batchesOf(stageOf({ extraTexts: undefined })).batchAt(0).further).toBeUndefined();
  });
});

describe("checkStageData", () => {
  it("names the set that has too few names", () => {
    checkStageData(stageOf({ extraTexts: { animals: 4 } }), shards);
    expect(() => checkStageData(stageOf({ extraTexts: { things: 3 } }), shards)).toThrow('Set "things"');
  });
});
