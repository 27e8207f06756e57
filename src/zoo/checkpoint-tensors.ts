import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { readSafetensors, type StoredTensor } from "../io/safetensors.ts";
import { readTorchFile } from "../io/torch-file.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { ForeignTensors } from "./foreign-tensors.ts";

/** Whole files of weights, the preferred first: safetensors of transformers and open_clip, then their PyTorch files. */
const wholeFiles = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "pytorch_model.bin",
  "open_clip_pytorch_model.bin",
] as const;

const indexFiles = wholeFiles.map((file) => `${file}.index.json`);

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** PyTorch files of weights; a folder without safetensors may hold one of them. */
const torchFile = /^(?!optimizer|scheduler|training_args|rng_state).+\.(bin|pt|pth)$/;

/**
 * The tensors of a checkpoint folder as float32: of `model.safetensors`, of the shards that its index lists, or of
 * open_clip's and PyTorch's names for the same, the first that is there; else of the folder's only PyTorch file.
 *
 * @param names  read only this file's tensors of the given names; all by default. A name that is not there is left out,
 *               for `ForeignTensors.take` to report
 * @throws UserError naming the file: `not-found` (no weights, or a shard is missing), `unsupported` (several PyTorch
 *         files, or one that holds more than tensors), `corrupt`, `mismatch` (index and shards disagree)
 */
export async function readCheckpointTensors(
  folder: CheckpointFolder,
  names?: readonly string[],
): Promise<ForeignTensors> {
  const wanted = names && new Set(names);
  for (const [i, file] of wholeFiles.entries()) {
    const isWhole = folder.files.has(file);
    if (!isWhole && !folder.files.has(indexFiles[i])) continue;
    const path = folder.pathOf(isWhole ? file : indexFiles[i]);
    const tensors = isWhole ? await readWeights(path) : await readShards(folder, indexFiles[i], wanted);
    return new ForeignTensors(wanted ? new Map([...tensors].filter(([name]) => wanted.has(name))) : tensors, path);
  }
  const path = folder.pathOf(onlyTorchFile(folder));
  const tensors = await readTorchFile(path);
  return new ForeignTensors(wanted ? new Map([...tensors].filter(([name]) => wanted.has(name))) : tensors, path);
}

async function readWeights(path: string): Promise<Map<string, StoredTensor>> {
  return path.endsWith(".safetensors") ? (await readSafetensors(path)).tensors : readTorchFile(path);
}

/** The tensors of an index's shards, each of which must hold exactly what the index says it does. */
async function readShards(
  folder: CheckpointFolder,
  indexFile: string,
  wanted: ReadonlySet<string> | undefined,
): Promise<Map<string, StoredTensor>> {
  const indexPath = folder.pathOf(indexFile);
  const { weight_map } = await folder.parse(indexFile, indexSchema);
  const namesOfShard = new Map<string, Set<string>>();
  for (const [name, shard] of Object.entries(weight_map)) {
    const listed = namesOfShard.get(shard) ?? new Set();
    namesOfShard.set(shard, listed.add(name));
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, listed] of namesOfShard) {
    // Only names in the folder itself: an index is not to be trusted with paths out of it.
    if (!folder.files.has(shard)) {
      const rule = `its shards must be files of the folder, got "${shard}", which is not there`;
      throw new UserError("not-found", `${indexPath}: ${rule}. Fetch the missing file.`);
    }
    if (wanted && ![...listed].some((name) => wanted.has(name))) continue;
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

/** The folder's only PyTorch file. @throws UserError `not-found` if there is none, `unsupported` if there are several */
function onlyTorchFile(folder: CheckpointFolder): string {
  const files = [...folder.files].filter((file) => torchFile.test(file)).sort();
  if (files.length === 1) return files[0];
  const known = [...wholeFiles, ...indexFiles].join(", ");
  if (files.length === 0) {
    const rule = `must hold weights as one of ${known}, or one PyTorch file`;
    throw new UserError("not-found", `${folder.path}: ${rule}, got none of them.`);
  }
  const rule = `must hold one PyTorch file or safetensors (one of ${known}), got ${files.join(", ")}`;
  throw new UserError("unsupported", `${folder.path}: ${rule}. Keep the one that is meant.`);
}
