import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { fileError } from "../io/file-errors.ts";

const example = z.object({
  key: z.string(),
  jpeg: z.string(), // base64
  caption: z.string(), // what is true of it
  answer: z.string(), // what the model took it for
  score: z.number(), // the model's own confidence or similarity
});

const curve = z.array(z.tuple([z.number(), z.number()]).readonly()).readonly();

/** What a score is made of, kept beside the ledger and drawn by the report. */
export const evaluationDetailsSchema = z.object({
  classes: z
    .array(z.object({ name: z.string(), n: z.number(), score: z.number() }))
    .readonly()
    .optional(),
  /** Counts, a row a true class and a column a predicted one; only for few classes. */
  confusion: z.array(z.array(z.number()).readonly()).readonly().optional(),
  /** The pairs of classes taken for each other most often. */
  confusedPairs: z
    .array(z.object({ truth: z.string(), predicted: z.string(), count: z.number() }))
    .readonly()
    .optional(),
  /** Bins of confidence: mean confidence, accuracy, images. */
  reliability: z
    .array(z.object({ confidence: z.number(), accuracy: z.number(), count: z.number() }))
    .readonly()
    .optional(),
  /** Whether a score tells what to accept from what not: right answers from wrong ones, or `of` pictures of the labels. */
  roc: z.object({ points: curve, area: z.number(), of: z.enum(["answers", "pictures"]).optional() }).optional(),
  best: z.array(example).readonly().optional(),
  worst: z.array(example).readonly().optional(),
  notes: z.array(z.string()).readonly().optional(),
});

export type EvaluationDetails = Readonly<z.infer<typeof evaluationDetailsSchema>>;
export type EvaluationExample = Readonly<z.infer<typeof example>>;

/** Writes the details of an entry and returns their path from the ledger's folder, with `/` between its parts. */
export async function writeDetails(ledgerPath: string, key: string, details: EvaluationDetails): Promise<string> {
  const folder = `${ledgerPath.replace(/\.jsonl?$/, "")}-details`;
  const name = `${createHash("sha256").update(key).digest("hex").slice(0, 20)}.json`;
  await writeFileAtomic(join(folder, name), `${JSON.stringify(details)}\n`);
  return `${basename(folder)}/${name}`;
}

/**
 * Reads the details that an entry names.
 *
 * @throws UserError not-found, or corrupt (also for a path that leaves the ledger's folder)
 */
export async function readDetails(ledgerPath: string, path: string): Promise<EvaluationDetails> {
  const file = join(dirname(ledgerPath), path);
  if (relative(dirname(ledgerPath), file).startsWith("..")) {
    throw new UserError("corrupt", `${ledgerPath}: details must lie beside the ledger, got ${path}. Remove that line.`);
  }
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw fileError(file, error);
  });
  try {
    return evaluationDetailsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new UserError("corrupt", `${file}: must be the details of a score, got another content. Evaluate again.`, {
      cause,
    });
  }
}
