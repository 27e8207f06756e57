import { z } from "zod";
import { UserError } from "../core/errors.ts";

/** Everything that an importer may read beside the weights, and the model card. */
const sideFiles: readonly RegExp[] = [
  /^(config|open_clip_config|preprocessor_config|processor_config|golden)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(vocab|merges)\.txt$/,
  /^(spiece|tokenizer|sentencepiece\.bpe)\.model$/,
  /^[\w.-]+\.ya?ml$/,
  /^(README\.md|LICENSE(\.\w+)?)$/,
];

/** Weights in one file, each also known in shards behind an index; the preferred first. */
const wholeFiles = [
  "model.safetensors",
  "open_clip_model.safetensors",
  "pytorch_model.bin",
  "open_clip_pytorch_model.bin",
] as const;

const indexEnding = ".index.json";

const torchFile = /\.(pt|pth)$/;

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The files of a repository or folder that make up its checkpoint. Of several forms of the weights the best is taken:
 * safetensors before PyTorch, which is taken only where there is nothing else.
 *
 * @param subject  what the names belong to, for messages
 * @param read     the text of a file, asked for the index of weights in shards
 * @throws UserError as {@link weightFiles}
 */
export async function checkpointFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
): Promise<{ sides: string[]; weights: string[] }> {
  const weights = await weightFiles(subject, names, read);
  return { sides: [...names].filter((name) => sideFiles.some((pattern) => pattern.test(name))).sort(), weights };
}

/**
 * The files of the weights alone, an index before its shards.
 *
 * @throws UserError `not-found` (no weights, or a shard is missing), `unsupported` (several and no rule between them),
 *         `corrupt`
 */
export async function weightFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
): Promise<string[]> {
  for (const whole of wholeFiles) {
    if (names.has(whole)) return [whole];
    const index = `${whole}${indexEnding}`;
    if (names.has(index)) return [index, ...shardsOf(`${subject} ${index}`, await read(index), names)];
  }
  const torch = [...names].filter((name) => torchFile.test(name)).sort();
  if (torch.length === 1) return torch;
  const rule = `${subject}: weights must be one of ${wholeFiles.join(", ")} or a single .pt or .pth file`;
  const remedy = "Name a repository or folder of one model.";
  if (torch.length === 0) throw new UserError("not-found", `${rule}, got none of them. ${remedy}`);
  throw new UserError("unsupported", `${rule}, got several: ${torch.join(", ")}. ${remedy}`);
}

/** Whether a file of weights is the index of others. */
export function isIndexFile(name: string): boolean {
  return name.endsWith(indexEnding);
}

/** The file of each tensor by an index's text. @throws UserError `corrupt`, `unsupported` naming `subject` */
export function weightMapOf(subject: string, text: string): Readonly<Record<string, string>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError("corrupt", `${subject}: must be JSON, got: ${(error as Error).message}.`, { cause: error });
  }
  const parsed = indexSchema.safeParse(value);
  if (parsed.success) return parsed.data.weight_map;
  throw new UserError("unsupported", `${subject}: must hold a weight_map of file names, got something else.`);
}

/** Only names among `names`: an index is not to be trusted with paths out of its folder. */
function shardsOf(subject: string, text: string, names: ReadonlySet<string>): string[] {
  const shards = [...new Set(Object.values(weightMapOf(subject, text)))].sort();
  const missing = shards.find((shard) => !names.has(shard));
  if (missing !== undefined) {
    throw new UserError("not-found", `${subject}: its shards must be there, got no ${JSON.stringify(missing)}.`);
  }
  return shards;
}
