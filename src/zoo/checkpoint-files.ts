import { z } from "zod";
import { UserError } from "../core/errors.ts";

/**
 * Names of weights in one file, each also known in shards behind an index; the preferred first. Every layout has its own:
 * a repository may hold two, and the weights of one have other names and shapes than those of the other.
 */
export const huggingFaceWeights: readonly string[] = ["model.safetensors", "pytorch_model.bin"];

/** As {@link huggingFaceWeights}, for open_clip's layout, which is also found under the general names. */
export const openClipWeights: readonly string[] = [
  "open_clip_model.safetensors",
  "open_clip_pytorch_model.bin",
  ...huggingFaceWeights,
];

const indexEnding = ".index.json";

const torchFile = /\.(pt|pth)$/;

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The files of the weights alone, an index before its shards.
 *
 * @param subject  what the names belong to, for messages
 * @param names    of all files that are there
 * @param read     the text of a file, asked for the index of weights in shards
 * @param order    of names; a single PyTorch file of any name is taken only where there is none of them
 * @throws UserError `not-found` (no weights, or a shard is missing), `unsupported` (several and no rule between them),
 *         `corrupt`
 */
export async function weightFiles(
  subject: string,
  names: ReadonlySet<string>,
  read: (name: string) => Promise<string>,
  order: readonly string[],
): Promise<string[]> {
  for (const whole of order) {
    if (names.has(whole)) return [whole];
    const index = `${whole}${indexEnding}`;
    if (names.has(index)) return [index, ...shardsOf(`${subject} ${index}`, await read(index), names)];
  }
  const torch = [...names].filter((name) => torchFile.test(name)).sort();
  if (torch.length === 1) return torch;
  const known = order.length > 0 ? `one of ${order.join(", ")} or ` : "";
  const rule = `${subject}: weights must be ${known}a single .pt or .pth file`;
  const remedy = "Name a repository or folder of one model.";
  if (torch.length === 0) throw new UserError("not-found", `${rule}, got none of them. ${remedy}`);
  throw new UserError("unsupported", `${rule}, got several: ${torch.join(", ")}. ${remedy}`);
}

/** Whether weights are there under one of these names, whole or in shards. */
export function hasWeightsNamed(names: ReadonlySet<string>, order: readonly string[]): boolean {
  return order.some((whole) => names.has(whole) || names.has(`${whole}${indexEnding}`));
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
