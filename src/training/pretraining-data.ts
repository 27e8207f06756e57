import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { roleOf } from "../data/shard-format.ts";
import { ShardReader } from "../data/shards.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { TwoTower } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import { renderings } from "../tasks/pretrain/contrastive-batches.ts";
import type { PretrainRecipe, PretrainStage } from "../tasks/pretrain/recipe.ts";
import { TextFeatureBank } from "../tasks/pretrain/text-feature-bank.ts";
import type { TextSource } from "../tasks/pretrain/text-feeds.ts";

/** What the data of a pretraining depend on. */
export interface DataOptions {
  readonly recipe: PretrainRecipe;
  readonly shardsFolder: string;
  readonly runDir: string;
  readonly signal?: AbortSignal;
  readonly onTexts?: (done: number, total: number) => void;
}

/** Prefix of the text tower's parameters among the model's. */
export const textPrefix = "textEncoder.";

/** The sets whose texts a stage may draw. */
export function setsOf({ perBatch, extraTexts = {} }: PretrainStage): string[] {
  return [...new Set([...Object.keys(perBatch), ...Object.keys(extraTexts)])];
}

/** Opens the sets of all stages, and reads them once through: a damaged one would else be trained on. @throws UserError naming it */
export async function openShards({ recipe, shardsFolder, signal }: DataOptions): Promise<Map<string, ShardReader>> {
  const names = new Set(recipe.stages.flatMap(setsOf));
  const shards = new Map<string, ShardReader>();
  try {
    for (const name of names) {
      signal?.throwIfAborted();
      const reader = ShardReader.open(join(shardsFolder, name));
      shards.set(name, reader);
      if (roleOf(reader.manifest) === "evaluation") {
        const rule = `${reader.folder}: must be a set for training, got one for evaluation`;
        throw new UserError("bad-argument", `${rule}. Leave ${name} out of the recipe.`);
      }
      await reader.verify();
    }
    return shards;
  } catch (error) {
    for (const reader of shards.values()) reader.close();
    throw error;
  }
}

/** Where a stage has its texts from: tokens, or features of a frozen encoder, which are worked out once. */
export async function textSource(
  options: DataOptions,
  model: TwoTower,
  weights: Weights,
  tokenizer: Tokenizer,
  stage: PretrainStage,
  shards: ReadonlyMap<string, ShardReader>,
): Promise<TextSource> {
  const { recipe } = options;
  if (!recipe.freezeText) return { kind: "tokens", tokenizer, length: recipe.textTokens };
  const texts = new Set<string>();
  for (const name of setsOf(stage)) {
    for (const row of (shards.get(name) as ShardReader).rows) {
      for (const text of row.texts)
        for (const rendering of renderings(text, stage.templatedTexts)) texts.add(rendering);
    }
  }
  const encoderWeights = new Map(
    [...weights].flatMap(([name, data]) =>
      name.startsWith(textPrefix) ? [[name.slice(textPrefix.length), data]] : [],
    ),
  );
  const identity = createHash("sha256").update(tokenizer.fingerprintParts);
  for (const data of encoderWeights.values())
    identity.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  for (const text of [...texts].sort()) identity.update(`${text}\n`);
  const bank = await TextFeatureBank.create({
    encoder: model.textEncoder,
    weights: encoderWeights,
    tokenizer,
    texts,
    cachePath: join(options.runDir, `text-features-${identity.digest("hex").slice(0, 16)}.bin`),
    ...(options.onTexts ? { onProgress: options.onTexts } : {}),
  });
  return { kind: "features", bank };
}
