import { weightFiles } from "./checkpoint-files.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { formatOf } from "./checkpoint-formats.ts";

/** Everything that an importer may read beside the weights, and the model card. */
const sideFiles: readonly RegExp[] = [
  /^(config|open_clip_config|preprocessor_config|processor_config|golden)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(vocab|merges)\.txt$/,
  /^(spiece|tokenizer|sentencepiece\.bpe)\.model$/,
  /^[\w.-]+\.ya?ml$/,
  /^(README\.md|LICENSE(\.\w+)?)$/,
];

/** For folders of no known family, which can be brought and described all the same: safetensors first. */
const anyWeights = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "pytorch_model.bin",
  "open_clip_pytorch_model.bin",
];

/**
 * The files of a repository or folder that make up its checkpoint. Of several forms of the weights the one is taken that its family reads: safetensors before PyTorch, which is taken only where there is
 * nothing else.
 *
 * @param subject  what the names belong to, for messages
 * @param read     the text of a file, asked for configurations and for the index of weights in shards
 * @throws UserError as {@link weightFiles}
 */
export async function checkpointFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
): Promise<{ sides: string[]; weights: string[] }> {
  const weights = await weightFilesOf(CheckpointFolder.of(subject, names, read));
  return { sides: [...names].filter((name) => sideFiles.some((pattern) => pattern.test(name))).sort(), weights };
}

/** The files of the weights that the folder's family reads, an index before its shards. @throws UserError as there */
export async function weightFilesOf(folder: CheckpointFolder): Promise<string[]> {
  const order = (await formatOf(folder))?.weightNames ?? anyWeights;
  return weightFiles(folder.path, folder.files, (file) => folder.text(file), order);
}
