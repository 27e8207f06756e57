import { basename } from "node:path";
import { UserError } from "../core/errors.ts";
import { readUtf8 } from "../io/text-files.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import { huggingFaceWeights } from "./checkpoint-files.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";
import { readClipTokenizer } from "./clip-tokenizer-files.ts";
import { describeUniclConfig, parseUniclConfig, uniclArchitecture, uniclPreprocessing } from "./unicl-config.ts";
import { importUniclWeights, uniclNames } from "./unicl-weights.ts";

/** UniCL's own checkpoints: a Swin and a CLIP-style text transformer. Yang et al., arXiv:2204.03610. */
export const unicl: CheckpointFormat = {
  family: "UniCL with Swin, a .pth file and its YAML configuration",
  weightNames: huggingFaceWeights,
  async recognizes(folder) {
    return (await configFiles(folder)).length > 0;
  },
  async describe(folder) {
    const path = await configPath(folder);
    return { file: basename(path), ...describeUniclConfig(parseUniclConfig(path, await readUtf8(path))) };
  },
  async checkConfiguration(folder) {
    const path = await configPath(folder);
    uniclArchitecture(path, parseUniclConfig(path, await readUtf8(path)), 0); // the vocabulary is in the weights
  },
  async read(folder) {
    const path = await configPath(folder);
    const config = parseUniclConfig(path, await readUtf8(path));
    const tensors = await readCheckpointTensors(folder, huggingFaceWeights);
    const names = uniclNames(tensors);
    const [vocabulary = 0] = tensors.shapeOf(`${names.text}.token_embedding.weight`);
    const architecture = uniclArchitecture(path, config, vocabulary);
    const { contextLength } = architecture.text;
    const tokenizer = await readClipTokenizer(folder, { vocabulary, contextLength, isBundled: true });
    const weights = importUniclWeights(architecture, tensors, names);
    tensors.finish();
    return { name: folder.name, architecture, preprocessing: uniclPreprocessing(config), weights, tokenizer };
  },
};

/** The folder's YAML files that describe a model. */
async function configFiles(folder: CheckpointFolder): Promise<string[]> {
  const found: string[] = [];
  for (const file of [...folder.files].filter((name) => /\.ya?ml$/i.test(name)).sort()) {
    const text = await folder.text(file).catch(() => ""); // a file of another kind, not ours to judge
    if (/^MODEL:/m.test(text)) found.push(file);
  }
  return found;
}

async function configPath(folder: CheckpointFolder): Promise<string> {
  const files = await configFiles(folder);
  if (files.length === 1) return folder.pathOf(files[0]);
  const rule = "must hold one YAML configuration with a MODEL";
  throw new UserError("unsupported", `${folder.path}: ${rule}, got ${files.join(", ")}. Keep the one of the weights.`);
}
