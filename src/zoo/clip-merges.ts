import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { CLIP_MERGE_COUNT } from "../data/tokenizers/clip-bpe.ts";
import { fileError } from "../io/file-errors.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";

/** CLIP's own merges, which come with the package: `weights/clip-merges.LICENSE.md`. */
export const bundledMergesPath = fileURLToPath(new URL("../../weights/clip-merges.txt.gz", import.meta.url));

/** Ids of CLIP's own vocabulary: 256 bytes, 256 word-final bytes, its merges, start and end. */
const clipVocabulary = 514 + CLIP_MERGE_COUNT;

/** Files of tokenizers that are not CLIP's. */
const otherTokenizers = ["vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"];

const settingsFile = "tokenizer_config.json";
const settingsSchema = z.object({ tokenizer_class: z.string().nullish() });

/**
 * Whether a folder without a tokenizer may be given CLIP's own: its table has CLIP's rows, and nothing names another.
 *
 * @param vocabulary  rows of the model's token table
 */
export async function meansClipMerges(folder: CheckpointFolder, vocabulary: number): Promise<boolean> {
  if (vocabulary !== clipVocabulary || otherTokenizers.some((name) => folder.files.has(name))) return false;
  if (!folder.files.has(settingsFile)) return true;
  const { tokenizer_class: name } = await folder.parse(settingsFile, settingsSchema);
  return typeof name !== "string" || /^CLIPTokenizer(Fast)?$/.test(name);
}

/** CLIP's own merges as lines after a header. @throws UserError naming the file */
export async function readBundledMerges(): Promise<string> {
  try {
    return (await promisify(gunzip)(await readFile(bundledMergesPath))).toString("utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && String(error.code).startsWith("Z_"))) {
      throw fileError(bundledMergesPath, error);
    }
    const rule = `${bundledMergesPath}: must be gzip data, got: ${error.message}`;
    throw new UserError("corrupt", `${rule}. Install the package anew.`, { cause: error });
  }
}
