import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { readSafetensors } from "../io/safetensors.ts";
import type { Weights } from "../nn/module.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import type { SavedModel } from "./save-model.ts";

const headInputSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("embedding"), scale: z.number().positive() }),
  z.strictObject({ kind: z.literal("pooled") }),
]);

const classifierSchema = z.strictObject({
  format: z.literal("florence-classifier/1"),
  classes: z.array(z.string()).min(2),
  /** `softmax`: one class a picture; `sigmoid`: each class by itself. */
  scoring: z.enum(["softmax", "sigmoid"]),
  input: headInputSchema,
});

/** A classifier that a checkpoint folder holds beside its model: it needs no labels to be given. */
export interface ClassifierFile extends Omit<z.infer<typeof classifierSchema>, "format"> {
  /** `weight` [K, inputs] and `bias` [K]. */
  readonly weights: Weights;
}

const configFile = "classifier.json";
const weightsFile = "classifier.safetensors";

/** The files of a classifier, to be saved with its model. */
export function classifierFiles({ weights, ...rest }: ClassifierFile): Pick<SavedModel, "files" | "tensorFiles"> {
  const config: z.infer<typeof classifierSchema> = { format: "florence-classifier/1", ...rest };
  const classes = rest.classes.length;
  const [weight, bias] = [weights.get("weight") as Float32Array, weights.get("bias") as Float32Array];
  const tensors = new Map([
    ["weight", { shape: [classes, weight.length / classes], data: weight }],
    ["bias", { shape: [classes], data: bias }],
  ]);
  return {
    files: { [configFile]: `${JSON.stringify(config, null, 2)}\n` },
    tensorFiles: { [weightsFile]: tensors },
  };
}

/**
 * The classifier of a checkpoint folder; undefined if it has none.
 *
 * @throws UserError: unsupported (naming the field), corrupt, mismatch (tensors that do not fit the classes)
 */
export async function readClassifier(path: string): Promise<ClassifierFile | undefined> {
  const folder = await CheckpointFolder.open(path);
  if (!folder.files.has(configFile)) return undefined;
  const { classes, scoring, input } = await folder.parse(configFile, classifierSchema);
  const { tensors } = await readSafetensors(folder.pathOf(weightsFile));
  const [weight, bias] = [tensors.get("weight"), tensors.get("bias")];
  if (!weight || !bias || weight.shape[0] !== classes.length || bias.shape[0] !== classes.length) {
    const rule = `must hold weight [${classes.length}, …] and bias [${classes.length}]`;
    const got = [...tensors].map(([name, { shape }]) => `${name} [${shape.join(", ")}]`).join(", ") || "nothing";
    throw new UserError("mismatch", `${folder.pathOf(weightsFile)}: ${rule}, got ${got}.`);
  }
  return {
    classes,
    scoring,
    input,
    weights: new Map([
      ["weight", weight.data],
      ["bias", bias.data],
    ]),
  };
}
