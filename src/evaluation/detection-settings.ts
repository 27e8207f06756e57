import { UserError } from "../core/errors.ts";
import type { ExamplePrompt } from "../tasks/detection/class-prompts.ts";
import type { NamedClasses } from "../zoo/detector-config.ts";

/**
 * Who names what a detector finds: a two-tower model from a crop of each box, or from its own map of the whole picture,
 * or the detector's own class head.
 */
export type NamingMethod = "crops" | "regions" | "head";

export const namingMethods: readonly NamingMethod[] = ["crops", "regions", "head"];

/** What decides detections besides pictures and models. */
export interface DetectionChoices {
  /** What to look for; all of a detector's own classes if left out. */
  readonly labels?: readonly string[] | undefined;
  /** {@link defaultMethod} if left out. */
  readonly method?: NamingMethod | undefined;
  /** Pictures of what is to be found, beside words or instead of them. */
  readonly examples?: readonly ExamplePrompt[] | undefined;
  /** Prompts that labels are put into, where the detector was not trained with prompts of its own. */
  readonly templates?: readonly string[] | undefined;
  /** Texts for what is none of the labels: a box that fits one of them best is dropped. */
  readonly backgrounds?: readonly string[] | undefined;
  readonly scoreThreshold?: number | undefined; // 0.3
  readonly nmsThreshold?: number | undefined; // 0.6
  readonly maxDetections?: number | undefined; // 100
  readonly proposals?: number | undefined; // boxes of a picture that the two-tower model names; 50
  readonly margin?: number | undefined; // around crops and regions, in lengths of the box's longer side; 0.1
  readonly objectnessWeight?: number | undefined; // 0.5
}

export const detectionDefaults = {
  backgrounds: ["background", "nothing in particular", "something else"],
  scoreThreshold: 0.3,
  nmsThreshold: 0.6,
  maxDetections: 100,
  proposals: 50,
  margin: 0.1,
  objectnessWeight: 0.5,
} as const;

/** How detections of a run came about, as its first JSON line says. */
export interface DetectionSettings {
  readonly method: NamingMethod;
  readonly detector: { readonly name: string; readonly fingerprint: string };
  /** The two-tower model, where there is one. */
  readonly model?: { readonly name: string; readonly fingerprint: string };
  readonly labels: readonly string[];
  readonly templates?: readonly string[];
  readonly backgrounds?: readonly string[];
  readonly examples?: readonly ExamplePrompt[];
  /** What a score is. */
  readonly score: string;
  readonly scoreThreshold: number;
  readonly nmsThreshold: number;
  readonly maxDetections: number;
  readonly proposals?: number;
  readonly margin?: number;
  /** Whether regions are read from the detector's own run, whose encoder is the model's; else the model has a run. */
  readonly sharesEncoder?: boolean;
}

/** The one class of a detector that tells objects from background alone. */
export const objectClass = "object";

/**
 * Of a class at a place, before centerness counts. Below this nothing is worth a look, whatever the final threshold; low,
 * since AP counts every box above.
 */
export const leastCandidate = 0.01;

/** Whether all that a detector knows is that there is an object. */
export function isClassAgnostic(classes: NamedClasses): boolean {
  return classes.kind === "fixed" && classes.names.length === 1 && classes.names[0] === objectClass;
}

/** The detector's own class head, unless it knows objects alone and is asked for more than that. */
export function defaultMethod(classes: NamedClasses, choices: DetectionChoices): NamingMethod {
  const asked = askedLabels(choices);
  const isForObjects = asked.length > 0 && asked.every((label) => label === objectClass);
  return isClassAgnostic(classes) && !isForObjects ? "crops" : "head";
}

/** Labels as asked for by words and examples, each once. */
export function askedLabels({ labels, examples = [] }: DetectionChoices): string[] {
  return [...new Set([...(labels ?? []), ...examples.map(({ label }) => label)])];
}

/** Refuses what does not go together, before anything is loaded. @throws UserError bad-argument */
export function checkChoices(name: string, classes: NamedClasses, choices: DetectionChoices): void {
  const method = choices.method ?? defaultMethod(classes, choices);
  const { labels, examples = [] } = choices;
  const asked = askedLabels(choices);
  if (method === "head" && classes.kind === "fixed") {
    if (examples.length > 0) {
      const rule = `${name}: its classes are fixed, got examples`;
      throw new UserError("bad-argument", `${rule}. Leave them out, or name boxes with --method crops.`);
    }
    const unknown = asked.find((label) => !classes.names.includes(label));
    if (unknown === undefined) return;
    const rule = `${name}: labels must be among its classes (${classes.names.join(", ")}), got "${unknown}"`;
    throw new UserError("bad-argument", `${rule}. Choose among them, or name boxes with --method crops.`);
  }
  if (asked.length === 0) {
    throw new UserError("bad-argument", `${name}: labels are needed, got none. Say what to look for with --labels.`);
  }
  const bare = labels?.find((label) => examples.length > 0 && !examples.some((example) => example.label === label));
  if (bare === undefined) return;
  const rule = `Labels: with examples, each needs one, since likeness to pictures and to words differ, got none of "${bare}"`;
  throw new UserError("bad-argument", `${rule}. Add --like "${bare}=PICTURE", or leave the label out.`);
}
