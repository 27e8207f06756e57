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

const torchFile = /\.(pt|pth)$/;

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The files of a repository or folder that make up its checkpoint: small files first, weights last. Of several forms
 * of the weights the best is taken: safetensors before PyTorch, which is taken only where there is nothing else.
 *
 * @param subject  what the names belong to, for messages
 * @param read     the text of a file, asked for the index of weights in shards
 * @throws UserError `unsupported` (no weights, or several and no rule between them), `not-found` (a shard is missing)
 */
export async function checkpointFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
): Promise<string[]> {
  const weights = await weightFiles(subject, names, read);
  return [...[...names].filter((name) => sideFiles.some((pattern) => pattern.test(name))).sort(), ...weights];
}

/** The files of the weights alone, an index before its shards. */
export async function weightFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
): Promise<string[]> {
  for (const whole of wholeFiles) {
    if (names.has(whole)) return [whole];
    const index = `${whole}.index.json`;
    if (names.has(index)) return [index, ...shardsOf(`${subject} ${index}`, await read(index), names)];
  }
  const torch = [...names].filter((name) => torchFile.test(name)).sort();
  if (torch.length === 1) return torch;
  const got = torch.length === 0 ? "none of them" : `several: ${torch.join(", ")}`;
  const rule = `weights must be one of ${wholeFiles.join(", ")} or a single .pt or .pth file`;
  throw new UserError("unsupported", `${subject}: ${rule}, got ${got}. Name a repository or folder of one model.`);
}

function shardsOf(subject: string, text: string, names: ReadonlySet<string>): string[] {
  const parsed = indexSchema.safeParse(parsedJson(text));
  if (!parsed.success) {
    throw new UserError("corrupt", `${subject}: must hold a weight_map of file names, got something else.`);
  }
  const shards = [...new Set(Object.values(parsed.data.weight_map))].sort();
  const missing = shards.find((shard) => !names.has(shard));
  if (missing !== undefined) {
    throw new UserError("not-found", `${subject}: its shards must be there, got no ${JSON.stringify(missing)}.`);
  }
  return shards;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
