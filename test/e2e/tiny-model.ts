import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { Rng } from "../../src/core/rng.ts";
import { TwoTower, type TwoTowerConfig } from "../../src/models/two-tower.ts";
import { initialWeights } from "../../src/nn/module.ts";
import { saveModel } from "../../src/zoo/save-model.ts";
import { tinyImageEncoder, tinyVocabulary } from "./tiny-pretraining.ts";

export const tinyArchitecture: TwoTowerConfig = {
  image: tinyImageEncoder,
  text: {
    kind: "sentence-encoder",
    vocabulary: tinyVocabulary.length,
    contextLength: 16,
    width: 16,
    heads: 2,
    layers: 1,
    hidden: 32,
  },
  embedding: 8,
};

/** A model of random weights as a checkpoint folder of ours. */
export async function writeTinyModel(folder: string): Promise<void> {
  const weights = initialWeights(new TwoTower(tinyArchitecture), "tiny model");
  const tokenizer = { kind: "wordpiece", vocabulary: tinyVocabulary } as const;
  await saveModel(folder, { name: "tiny", architecture: tinyArchitecture, weights, tokenizer });
}

const colours = { red: [200, 60, 60], green: [60, 200, 60], blue: [60, 60, 200] } as const;

/** A folder of three classes, noisy pictures of a colour each, in train and test. */
export async function writeColourSet(folder: string, perClass: number): Promise<void> {
  const rng = new Rng("colours");
  for (const split of ["train", "test"]) {
    for (const [name, colour] of Object.entries(colours)) {
      await mkdir(join(folder, split, name), { recursive: true });
      for (let i = 0; i < perClass; i++) {
        const data = Uint8Array.from({ length: 16 * 16 * 3 }, (_, at) => colour[at % 3] + rng.int(50) - 25);
        const image = sharp(data, { raw: { width: 16, height: 16, channels: 3 } });
        await image.png().toFile(join(folder, split, name, `${i}.png`));
      }
    }
  }
}
