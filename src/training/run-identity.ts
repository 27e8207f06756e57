import { createHash } from "node:crypto";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { ShardReader } from "../data/shards.ts";
import type { PretrainRecipe, PretrainStage } from "../tasks/pretrain/recipe.ts";
import { hashConfig, savedConfigHash } from "./checkpoint.ts";
import { setsOf } from "./pretraining-data.ts";
import type { PretrainingText } from "./pretraining-text.ts";

/** Where a stage of a run has its checkpoints and logs. */
export function stageFolder(runDir: string, index: number, { name }: PretrainStage): string {
  return join(runDir, `stage-${index}-${name}`);
}

/**
 * A digest for each stage of all that decides its steps: the recipe, the stages before it whole, the text tower it starts
 * from, and the pictures and texts of the sets drawn so far, by content. A stage of constant rate may be made longer
 * later: its length decides none of its own steps, but those of the stages after it.
 */
export function stageHashes(
  recipe: PretrainRecipe,
  text: Pick<PretrainingText, "config" | "weights" | "tokenizer">,
  shards: ReadonlyMap<string, ShardReader>,
): string[] {
  const textSha256 = textDigest(text);
  return recipe.stages.map((stage, index) => {
    const earlier = recipe.stages.slice(0, index);
    const names = [...new Set([...earlier, stage].flatMap(setsOf))];
    const data = names.map((name) => {
      const { manifest, rowsSha256 } = shards.get(name) as ShardReader;
      return [name, { images: manifest.imagesSha256, rows: rowsSha256 }];
    });
    const own = stage.schedule === "constant" ? { ...stage, steps: 0 } : stage;
    return hashConfig({ ...recipe, stages: [...earlier, own], textSha256, data: Object.fromEntries(data) });
  });
}

function textDigest({ config, weights, tokenizer }: Pick<PretrainingText, "config" | "weights" | "tokenizer">): string {
  const hash = createHash("sha256").update(hashConfig(config)).update(tokenizer.fingerprintParts);
  for (const [name, data] of [...weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`\n${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/**
 * Requires that what a folder has of a run was made by this recipe and these data, before anything is trained: the first
 * stage that was not, and those after it, which start from its weights, have to be trained again.
 *
 * @throws UserError (mismatch) naming the folders to delete
 */
export async function requireSameRun(
  runDir: string,
  stages: readonly PretrainStage[],
  hashes: readonly string[],
): Promise<void> {
  const folders = stages.map((stage, index) => stageFolder(runDir, index, stage));
  const saved = await Promise.all(folders.map(savedConfigHash));
  const first = saved.findIndex((hash, index) => hash !== undefined && hash !== hashes[index]);
  if (first < 0) return;
  const stale = folders.filter((_, index) => index >= first && saved[index] !== undefined);
  const rule = `${folders[first]}: must be of this recipe and data, with the stages before it as they are now`;
  const remedy = `Delete ${stale.join(", ")} to train again from there, or resume with the recipe and data it began with`;
  throw new UserError("mismatch", `${rule}; got ${saved[first]}, not ${hashes[first]}. ${remedy}.`);
}
