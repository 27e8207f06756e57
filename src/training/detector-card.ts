import type { DetectorPretrainRecipe } from "../tasks/detection/pretrain-recipe.ts";
import type { ProposalScores } from "../tasks/detection/proposal-scores.ts";
import type { PretrainedDetector, UsedSet, ValidationScore } from "./detector-pretraining.ts";

export interface DetectorCardFacts {
  readonly recipe: DetectorPretrainRecipe;
  readonly encoder: { readonly name: string; readonly fingerprint: string };
  readonly trained: Pick<
    PretrainedDetector,
    "weights" | "steps" | "wallSeconds" | "sets" | "validation" | "missing" | "names"
  >;
}

/** The model card of a pretrained detector. Every number in it comes from the run. */
export function detectorCard({ recipe, encoder, trained }: DetectorCardFacts): string {
  const { weights, steps, wallSeconds, sets, validation, missing, names } = trained;
  const parameters = [...weights.values()].reduce((sum, { length }) => sum + length, 0);
  const own = [...weights]
    .filter(([name]) => !name.startsWith("imageEncoder."))
    .reduce((sum, [, { length }]) => sum + length, 0);
  const finds = names
    ? `It was taught ${names.length} class names by their embeddings, and takes any others.`
    : "It finds objects whatever they are: one class, `object`. Another model names them.";
  const backbone = recipe.freeze === "encoder" ? "frozen" : "trained further";
  const lines = [
    "---",
    `name: ${recipe.name}`,
    "license: that of the backbone and of the data, see below; some is for non-commercial use or under share-alike terms",
    `parameters: ${parameters.toLocaleString("en-US")}, ${own.toLocaleString("en-US")} of them outside the backbone`,
    `backbone: ${encoder.name}, ${backbone}`,
    `side: ${recipe.side} pixels`,
    "---",
    "",
    `# ${recipe.name}`,
    "",
    `${finds} A feature pyramid, ${recipe.blocks} Dynamic Head blocks of width ${recipe.width} and an ATSS head on the image ` +
      `encoder of ${encoder.name} (fingerprint ${encoder.fingerprint.slice(0, 12)}), which was ${backbone}.`,
    "",
    "## Training",
    "",
    `\`florence pretrain\` with \`recipe.json\`: ${steps} steps of ${recipe.batch} pictures, ` +
      `${(wallSeconds / 60).toFixed(1)} minutes. The curve is \`loss-curve.png\`; what each set says of its sources and licences ` +
      "is in `data-manifest.json`.",
    "",
    "| set | pictures | objects | share of the draws | licence |",
    "|---|---|---|---|---|",
    ...setRows(sets),
    "",
    "## Scores",
    "",
    "Boxes as class-agnostic proposals, COCO's metrics with one class, in percent, at most 100 boxes a picture; in brackets " +
      "those of random boxes on the same pictures. No set below was trained on.",
    "",
    "| set | pictures | objects | AP | AP50 | AR@10 | AR@100 |",
    "|---|---|---|---|---|---|---|",
    ...validation.map(scoreRow),
    "",
    ...(missing.length > 0 ? [`Not scored, since they were not there: ${missing.join(", ")}.`, ""] : []),
  ];
  return lines.join("\n");
}

function setRows(sets: readonly UsedSet[]): string[] {
  const total = sets.reduce((sum, { weight = 1 }) => sum + weight, 0);
  return sets.map(({ name, split, pictures, objects, weight = 1, about, licence }) => {
    const share = ((100 * weight) / total).toFixed(0);
    return `| ${name}, ${split} | ${pictures} | ${objects} | ${share} % | ${licence ?? (licencesOf(about).join("; ") || "not stated")} |`;
  });
}

/** Every licence that a set's own description names, however deep it stands. */
export function licencesOf(about: unknown): string[] {
  const found = new Set<string>();
  const visit = (value: unknown, key: string): void => {
    if (typeof value === "string" && /^licen[cs]e$/i.test(key)) found.add(value);
    else if (Array.isArray(value)) {
      for (const item of value) visit(item, key);
    } else if (typeof value === "object" && value !== null) {
      for (const [field, item] of Object.entries(value)) visit(item, field);
      if (/^licen[cs]es$/i.test(key) && "name" in value && typeof value.name === "string") found.add(value.name);
    }
  };
  visit(about, "");
  return [...found];
}

function scoreRow({ name, split, detector, random }: ValidationScore): string {
  const cell = (metric: keyof ProposalScores): string => `${percent(detector[metric])} (${percent(random[metric])})`;
  const scores = (["ap", "ap50", "ar10", "ar100"] as const).map(cell);
  return `| ${name}, ${split} | ${detector.pictures} | ${detector.objects} | ${scores.join(" | ")} |`;
}

const percent = (share: number): string => (100 * share).toFixed(1);
