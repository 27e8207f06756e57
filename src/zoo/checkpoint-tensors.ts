import { UserError } from "../core/errors.ts";
import { readSafetensors, type StoredTensor } from "../io/safetensors.ts";
import { readUtf8 } from "../io/text-files.ts";
import { readTorchFile } from "../io/torch-file.ts";
import { isIndexFile, weightFiles, weightMapOf } from "./checkpoint-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { ForeignTensors } from "./foreign-tensors.ts";

/**
 * The tensors of a checkpoint folder as float32, of the file or shards that {@link weightFiles} chooses.
 *
 * @param order  names of weights as the folder's format has them, the preferred first
 * @throws UserError naming the file: `not-found` (no weights, or a shard is missing), `unsupported` (several PyTorch
 *         files, or one that holds more than tensors), `corrupt`, `mismatch` (index and shards disagree)
 */
export async function readCheckpointTensors(
  folder: CheckpointFolder,
  order: readonly string[],
): Promise<ForeignTensors> {
  const [first] = await weightFiles(folder.path, folder.files, (file) => folder.text(file), order);
  const path = folder.pathOf(first);
  return new ForeignTensors(isIndexFile(first) ? await readShards(folder, path) : await readWeights(path), path);
}

async function readWeights(path: string): Promise<Map<string, StoredTensor>> {
  return path.endsWith(".safetensors") ? (await readSafetensors(path)).tensors : readTorchFile(path);
}

/** The tensors of an index's shards, each of which must hold exactly what the index says it does. */
async function readShards(folder: CheckpointFolder, indexPath: string): Promise<Map<string, StoredTensor>> {
  const namesOfShard = new Map<string, Set<string>>();
  for (const [name, shard] of Object.entries(weightMapOf(indexPath, await readUtf8(indexPath)))) {
    const listed = namesOfShard.get(shard) ?? new Set();
    namesOfShard.set(shard, listed.add(name));
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, listed] of namesOfShard) {
    const path = folder.pathOf(shard);
    const stored = await readWeights(path);
    for (const name of listed) {
      const tensor = stored.get(name);
      if (!tensor) throw new UserError("mismatch", `${path}: must hold ${name}, as ${indexPath} says, it is missing.`);
      tensors.set(name, tensor);
    }
    for (const name of stored.keys()) {
      if (!listed.has(name)) throw new UserError("mismatch", `${path}: ${name} must be listed in ${indexPath}.`);
    }
  }
  return tensors;
}
