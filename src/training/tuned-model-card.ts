import type { TuningDivision } from "../data/labelled/tuning-parts.ts";
import type { FineTuneRecipe } from "../tasks/fine-tune/recipe.ts";
import { gainShare, gainShareAmong, lossOf, type MixtureScore } from "./retention.ts";
import type { TuningScore } from "./tuning-scores.ts";

/** All that a tuning is told by afterwards: `tuning.json` of a tuned model, and the source of its card. */
export interface TuningReport {
  readonly name: string;
  readonly base: { readonly name: string; readonly fingerprint: string };
  readonly data: {
    readonly name: string;
    readonly fingerprint: string;
    readonly classes: number;
    readonly train: number; // pictures
    readonly validation: number;
    /** How the set was divided; from it and the recipe's seed follows which pictures were trained on. */
    readonly division: TuningDivision;
    readonly heldOut: number; // share of the training pictures that validation was taken from, 0 if the set has its own
    readonly failed: number; // pictures that did not decode
  };
  readonly control: { readonly name: string; readonly fingerprint: string } | undefined;
  readonly recipe: FineTuneRecipe;
  readonly steps: number;
  readonly wallSeconds: number;
  readonly mixtures: readonly MixtureScore[];
  readonly alpha: number; // of the mixture that was kept
  /** On the set's test part, its own or that which evaluations score; nothing before a head that started at random. */
  readonly test:
    | {
        readonly before: TuningScore | undefined;
        readonly after: TuningScore;
        readonly plain: TuningScore; // of the tuned model itself, α = 1
      }
    | undefined;
}

/** The model card of a tuned model. */
export function tunedModelCard(report: TuningReport): string {
  const { name, base, data, recipe, steps, wallSeconds, alpha, test, mixtures, control } = report;
  const heldOut =
    data.heldOut > 0 ? ` (${percent(data.heldOut)} of the training pictures, by a hash of their keys)` : "";
  const chose = mixtures.length > 3 ? " They chose α, so their scores lean to the good side." : "";
  const lines = [
    "---",
    `name: ${name}`,
    "license: that of the original model and of the data it was tuned on",
    `base: ${base.name}`,
    `tuned: ${data.name}, ${recipe.method}`,
    "---",
    "",
    `# ${name}`,
    "",
    `Made from ${base.name} (fingerprint ${base.fingerprint.slice(0, 12)}) by \`florence tune\`, method ${recipe.method}: ` +
      `${steps} steps of ${recipe.batch} pictures of ${data.name} (${data.train} pictures` +
      `${data.classes > 0 ? `, ${data.classes} classes` : ""}), ${(wallSeconds / 60).toFixed(1)} minutes. ` +
      `The weights are the mixture (1 − α)·original + α·tuned with α = ${alpha}. The recipe is in \`tuning.json\`.`,
    "",
    "## Scores",
    "",
    `Validation: ${data.validation} pictures of ${data.name}${heldOut}.${chose}`,
    "",
    ...mixtureTable(mixtures, alpha, control?.name),
    "",
  ];
  if (test) {
    lines.push(
      `Test part of ${data.name}, ${test.after.count} pictures that decided nothing: ${test.after.measure} ` +
        `${test.before ? `${percent(test.before.value)} before, ` : ""}**${percent(test.after.value)}** after${plainTest(test, alpha)}.`,
      "",
    );
  }
  return lines.join("\n");
}

/** What plain tuning would have had, and how much of its gain was kept, where a mixture was. */
export function plainTest({ before, after, plain }: NonNullable<TuningReport["test"]>, alpha: number): string {
  if (alpha === 1) return "";
  const share = before && gainShare(after, before, plain);
  return `; α = 1 has ${percent(plain.value)}${share === undefined ? "" : `, of whose gain ${percent(share)} is kept`}`;
}

function mixtureTable(mixtures: readonly MixtureScore[], chosen: number, control: string | undefined): string[] {
  const measure = mixtures[0]?.validation.measure ?? "";
  const before = mixtures.find(({ alpha }) => alpha === 0);
  const rows = mixtures.map((score) => {
    const mark = score.alpha === chosen ? " (kept)" : "";
    const ofControl = score.control
      ? ` ${percent(score.control.value)} | ${before ? points(-lossOf(score, before)) : "–"} |`
      : "";
    const share = gainShareAmong(mixtures, score);
    const kept = share === undefined ? "–" : percent(share);
    return `| ${score.alpha}${mark} | ${percent(score.validation.value)} | ${kept} |${ofControl}`;
  });
  const [heading, rule] = control ? [` ${control}, zero-shot | change |`, "---|---|"] : ["", ""];
  return [`| α | validation ${measure} | of the plain gain |${heading}`, `|---|---|---|${rule}`, ...rows];
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const points = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)} points`;
