import { createHash } from "node:crypto";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import { readUtf8 } from "../../io/text-files.ts";
import type { RejectionRule } from "./acceptance-score.ts";
import type { Calibration } from "./calibration.ts";

const threshold = z.number();
const vector = z.array(z.number()).min(1);

const rejectionSchema = z.discriminatedUnion("method", [
  z.strictObject({
    method: z.enum(["max-probability", "max-logit", "energy", "background-margin", "background-share"]),
    threshold,
  }),
  z.strictObject({ method: z.literal("example-likeness"), threshold, means: z.array(vector).min(1) }),
  z.strictObject({ method: z.literal("example-gate"), threshold, weights: vector, bias: z.number() }),
]);

const calibrationFileSchema = z.strictObject({
  format: z.literal("florence-calibration/1"),
  model: z.string().regex(/^[0-9a-f]{64}$/),
  labels: z.string().regex(/^[0-9a-f]{64}$/),
  templates: z.string().regex(/^[0-9a-f]{64}$/),
  scale: z.number().positive(),
  bias: z.array(z.number()).min(2),
  rejection: rejectionSchema.optional(),
  backgrounds: z.array(z.string().min(1)), // background prompts, put into the same templates as the labels
});

/** What a calibration is good for: it means nothing with another model, other labels or other templates. */
export interface CalibrationTarget {
  readonly fingerprint: string; // of the model
  readonly embedDim: number; // of the model
  readonly labels: readonly string[];
  readonly templates: readonly string[];
}

/** A calibration as it is kept, with the background prompts it needs. */
export interface StoredCalibration extends Calibration {
  readonly backgrounds: readonly string[];
}

/** Writes a calibration as a small JSON file, whole or not at all. */
export async function writeCalibration(
  path: string,
  { correction, rejection, backgrounds }: StoredCalibration,
  target: CalibrationTarget,
): Promise<void> {
  const content: z.infer<typeof calibrationFileSchema> = {
    format: "florence-calibration/1",
    model: target.fingerprint,
    labels: hashOfTexts(target.labels),
    templates: hashOfTexts(target.templates),
    scale: correction.scale,
    bias: [...correction.bias],
    ...(rejection ? { rejection: { ...mutable(rejection.rule), threshold: rejection.threshold } } : {}),
    backgrounds: [...backgrounds],
  };
  await writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`);
}

/**
 * Reads a calibration for a model, labels and templates.
 *
 * @throws UserError: not-found, unreadable, corrupt, or mismatch if it was made for others
 */
export async function readCalibration(path: string, target: CalibrationTarget): Promise<StoredCalibration> {
  const { scale, bias, rejection, backgrounds, ...made } = parse(path, await readUtf8(path));
  const wanted = {
    model: target.fingerprint,
    labels: hashOfTexts(target.labels),
    templates: hashOfTexts(target.templates),
  };
  for (const part of ["model", "labels", "templates"] as const) {
    if (made[part] === wanted[part]) continue;
    const got = `${made[part].slice(0, 12)} for ${wanted[part].slice(0, 12)}`;
    const remedy = "Calibrate again, or give what it was made with.";
    throw new UserError("mismatch", `${path}: must be made for the same ${part}, got ${got}. ${remedy}`);
  }
  if (bias.length !== target.labels.length) {
    throw new UserError(
      "corrupt",
      `${path}: needs ${target.labels.length} biases, got ${bias.length}. Calibrate again.`,
    );
  }
  if (!rejection) return { correction: { scale, bias }, backgrounds };
  const odd = vectorsOf(rejection).find(({ length }) => length !== target.embedDim);
  if (odd) {
    const rule = `vectors must have the model's ${target.embedDim} numbers`;
    throw new UserError("corrupt", `${path}: ${rule}, got ${odd.length}. Calibrate again.`);
  }
  const { threshold: learned, ...rule } = rejection;
  return { correction: { scale, bias }, rejection: { rule, threshold: learned }, backgrounds };
}

function vectorsOf(rejection: z.infer<typeof rejectionSchema>): readonly (readonly number[])[] {
  if (rejection.method === "example-likeness") return rejection.means;
  return rejection.method === "example-gate" ? [rejection.weights] : [];
}

/** The rule with lists of its own, as the schema has them. */
function mutable(rule: RejectionRule) {
  if (rule.method === "example-likeness") return { ...rule, means: rule.means.map((mean) => [...mean]) };
  return rule.method === "example-gate" ? { ...rule, weights: [...rule.weights] } : rule;
}

function parse(path: string, text: string): z.infer<typeof calibrationFileSchema> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be JSON, got ${(error as Error).message}.`, { cause: error });
  }
  const result = calibrationFileSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = `${issue.path.join(".") || "the whole"}: ${issue.message}`;
  throw new UserError("corrupt", `${path}: must be a florence-calibration/1 file, got ${where}. Calibrate again.`);
}

/** SHA-256 of a list of texts, in their order. */
function hashOfTexts(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}
