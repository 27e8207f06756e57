import { readFile } from "node:fs/promises";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { SiglipPieces } from "../data/tokenizers/siglip-text.ts";
import { type SubwordPipeline, SubwordTokenizer } from "../data/tokenizers/subword-tokenizer.ts";
import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { TokenizerJson } from "../data/tokenizers/tokenizer-json.ts";
import { fileError } from "../io/file-errors.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";

const settingsFile = "tokenizer_config.json";

/** Every file that decides SigLIP's ids; a folder has some of them. */
export const siglipTokenizerFiles = ["spiece.model", "tokenizer.json", settingsFile] as const;

const token = z.union([z.string(), z.object({ content: z.string() })]).nullish(); // as its text, or as what has it
const settingsSchema = z.object({
  padding_side: z.unknown().optional(),
  add_bos_token: z.boolean().nullish(),
  add_eos_token: z.boolean().nullish(),
  bos_token: token,
  eos_token: token,
  pad_token: token,
});

type Settings = z.infer<typeof settingsSchema>;

/** What the kinds of tokenizer add to a text where the folder does not say it. */
interface Defaults {
  readonly padToken: string;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/**
 * SigLIP's tokenizer: `spiece.model`, which SigLIP's own library reads and so gives its ids exactly; else
 * `tokenizer.json`, where SigLIP 2 has Gemma's BPE. Every text has the full length: the model attends to padding.
 *
 * @param sizes  `vocabulary`: rows of the model's token table; `contextLength`: tokens it takes
 * @throws UserError naming the file: `not-found`, `unsupported`, `corrupt`, `mismatch` (more ids than the model has)
 */
export async function readSiglipTokenizer(
  folder: CheckpointFolder,
  { vocabulary, contextLength }: { vocabulary: number; contextLength: number },
): Promise<Tokenizer> {
  const file = ["spiece.model", "tokenizer.json"].find((name) => folder.files.has(name));
  if (file === undefined) {
    const rule = `${folder.path}: must hold spiece.model or tokenizer.json`;
    throw new UserError("not-found", `${rule}, got neither. Fetch the tokenizer too.`);
  }
  const settings = folder.files.has(settingsFile) ? await folder.parse(settingsFile, settingsSchema) : {};
  const content = file === "spiece.model" ? await bytesOf(folder.pathOf(file)) : await folder.json(file);
  try {
    const [pipeline, defaults] = content instanceof Uint8Array ? fromModel(content) : fromJson(content);
    // mC4's vocabulary ends with 100 sentinels that a model of 250,000 rows never sees; many more are another model's.
    if (pipeline.vocabularySize > vocabulary + vocabulary / 100) {
      const rule = `must have at most the ${vocabulary} ids of the model, or a hundredth more`;
      throw new UserError("mismatch", `${rule}, got ${pipeline.vocabularySize}.`);
    }
    const special = specialIds(settings, pipeline, defaults);
    return new SubwordTokenizer({ pipeline, contextLength, rows: vocabulary, ...special });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `${folder.pathOf(file)}: ${error.message}`, { cause: error });
  }
}

function fromModel(bytes: Uint8Array): [SubwordPipeline, Defaults] {
  const pipeline = new SiglipPieces(bytes);
  return [pipeline, { padToken: "</s>", prefix: [], suffix: [requireId(pipeline, "</s>")] }];
}

function fromJson(json: unknown): [SubwordPipeline, Defaults] {
  // Gemma's file says nothing of case, but SigLIP 2 was trained on lower-cased texts: arXiv:2502.14786 §2.
  const type = (json as { model?: { type?: unknown } } | null)?.model?.type;
  const pipeline = new TokenizerJson(json, { lowerCase: type === "BPE" });
  const { prefix, suffix, modelType } = pipeline;
  return [pipeline, { padToken: modelType === "BPE" ? "<pad>" : "</s>", prefix, suffix }];
}

/** Ids around a text, and of its padding, as `tokenizer_config.json` has them. */
function specialIds(
  settings: Settings,
  pipeline: SubwordPipeline,
  { padToken, prefix, suffix }: Defaults,
): { prefix: readonly number[]; suffix: readonly number[]; padId: number } {
  const { padding_side: side, add_bos_token: addsStart, add_eos_token: addsEnd } = settings;
  if (side !== undefined && side !== "right") {
    const rule = `${settingsFile}: padding_side must be "right", as the model was trained`;
    throw new UserError("unsupported", `${rule}, got ${JSON.stringify(side)}.`);
  }
  const idOf = (stated: Settings["pad_token"], fallback: string): number =>
    requireId(pipeline, (typeof stated === "string" ? stated : stated?.content) ?? fallback);
  const isStated = typeof addsStart === "boolean" || typeof addsEnd === "boolean";
  const isBpe = pipeline instanceof TokenizerJson && pipeline.modelType === "BPE";
  return {
    // Where one of them is stated, the other is off and the file's template does not count, as in the reference.
    prefix: !isBpe || !isStated ? prefix : addsStart === true ? [idOf(settings.bos_token, "<bos>")] : [],
    suffix: !isBpe || !isStated ? suffix : addsEnd === true ? [idOf(settings.eos_token, "<eos>")] : [],
    padId: idOf(settings.pad_token, padToken),
  };
}

function requireId(pipeline: SubwordPipeline, token: string): number {
  const id = pipeline.idOf(token);
  if (id !== undefined) return id;
  throw new UserError("mismatch", `the vocabulary must hold ${JSON.stringify(token)}, it does not.`);
}

async function bytesOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
