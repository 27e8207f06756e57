import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { writeFolderAtomic } from "../io/output-folder.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { type LowRankConfig, mergeAdapters } from "../nn/low-rank.ts";
import type { Weights } from "../nn/module.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";

const adapterSchema = z.strictObject({
  format: z.literal("florence-adapter/1"),
  rank: z.int().positive(),
  alpha: z.number().positive(),
  /** The model that the adapters were trained beside, and the only one that they fit. */
  base: z.strictObject({ name: z.string(), fingerprint: z.string() }),
  /** Side of the pictures that they were trained on, if not the model's own. */
  imageSize: z.int().positive().optional(),
});

/** Low-rank adapters as they are kept apart from the model they belong to. */
export interface AdapterFile extends LowRankConfig {
  readonly base: { readonly name: string; readonly fingerprint: string };
  readonly imageSize?: number | undefined;
  /** `….adapter.down` [rank, in] and `….adapter.up` [out, rank] of each adapted layer. */
  readonly weights: Weights;
}

const configFile = "adapter.json";
const weightsFile = "adapter.safetensors";

/** Writes a folder of `adapter.json` and `adapter.safetensors`, so that it appears whole or not at all. */
export async function saveAdapter(
  folder: string,
  { rank, alpha, base, imageSize, weights }: AdapterFile,
): Promise<void> {
  const tensors = new Map<string, WeightTensor>(
    [...weights].map(([name, data]) => {
      const other = data.length / rank;
      return [name, { data, shape: name.endsWith(".down") ? [rank, other] : [other, rank] }];
    }),
  );
  const config: z.infer<typeof adapterSchema> = {
    format: "florence-adapter/1",
    ...{ rank, alpha, base },
    ...(imageSize !== undefined && { imageSize }),
  };
  await writeFolderAtomic(folder, async (unfinished) => {
    await writeSafetensors(join(unfinished, weightsFile), tensors, {
      dtype: "F32",
      metadata: { format: config.format },
    });
    await writeFileAtomic(join(unfinished, configFile), `${JSON.stringify(config, null, 2)}\n`);
  });
}

/** @throws UserError: not-found, unsupported (naming the field), corrupt */
export async function readAdapter(path: string): Promise<AdapterFile> {
  const folder = await CheckpointFolder.open(path);
  const { format: _, ...config } = await folder.parse(configFile, adapterSchema);
  const { tensors } = await readSafetensors(folder.pathOf(weightsFile));
  return { ...config, weights: new Map([...tensors].map(([name, { data }]) => [name, data])) };
}

/**
 * A model's weights with an adapter folder merged in; the model computes what it did with the adapters beside it.
 *
 * @param model  what the adapters are to be merged into
 * @throws UserError (mismatch) if they were trained beside another model
 */
export async function applyAdapter(
  path: string,
  model: { readonly name: string; readonly fingerprint: string; readonly weights: ReadonlyMap<string, Float32Array> },
): Promise<Weights> {
  const adapter = await readAdapter(path);
  if (adapter.base.fingerprint !== model.fingerprint) {
    const { name, fingerprint } = adapter.base;
    const rule = `must be applied to ${name} of fingerprint ${fingerprint.slice(0, 12)}`;
    const got = `${model.name} of ${model.fingerprint.slice(0, 12)}`;
    throw new UserError("mismatch", `${path}: ${rule}, got ${got}. Load the model that it was tuned from.`);
  }
  return mergeAdapters(model.weights, adapter.weights, adapter);
}
