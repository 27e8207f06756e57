import type { MatchRule } from "./near-duplicates.ts";

/** A row that a training set lost, and the picture it repeats. */
export interface RemovedRow {
  readonly index: number; // in the training set before the removal
  readonly key: string;
  readonly text: string;
  readonly keptIndex: number;
  readonly keptKey: string;
  readonly keptText: string;
  readonly difference?: number; // mean absolute difference of the thumbnails, 0 … 255
  readonly mirrored?: boolean;
}

/** What comparing a training set with another set, or with itself, found. */
export interface PairOfSets {
  readonly training: string;
  readonly against: string;
  /** Pairs whose hashes agree, before the thumbnails were compared. */
  readonly hashMatches?: number;
  readonly removed: readonly RemovedRow[];
}

export interface CurationReport {
  readonly rule: MatchRule;
  /** Whether the training sets were replaced by cleaned ones. */
  readonly rewritten: boolean;
  readonly evaluation: readonly { readonly name: string; readonly count: number; readonly imagesSha256: string }[];
  /** Pictures of each training set. */
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
  readonly pairs: readonly PairOfSets[];
}

const examplesPerPair = 10;

/** The report for people: the rule, the counts of every pair of sets, and the first rows removed. */
export function curationMarkdown(report: CurationReport): string {
  const { rule } = report;
  const lines = [
    "# Near-duplicates between training and evaluation sets",
    "",
    `Two pictures match when their 64-bit difference hashes differ in at most ${rule.radius} bits (the training picture`,
    "as it is or mirrored) and their 16×16 thumbnails agree: photos to a mean absolute difference of",
    `${rule.photo.difference} of 255 and ${rule.photo.relativeDifference} of the contrast, pictures on white to`,
    `${rule.onWhite.difference} and ${rule.onWhite.relativeDifference}. A set compared with itself loses later copies`,
    `under equal texts only, by a stricter rule. ${report.rewritten ? "The rows were removed." : "Nothing was removed: a dry run."}`,
    "",
    "| training set | pictures before | after |",
    "|---|---:|---:|",
    ...Object.keys(report.before).map((name) => `| ${name} | ${report.before[name]} | ${report.after[name]} |`),
    "",
    "| training set | against | hash matches | removed |",
    "|---|---|---:|---:|",
    ...report.pairs.map(
      (pair) => `| ${pair.training} | ${pair.against} | ${pair.hashMatches ?? "–"} | ${pair.removed.length} |`,
    ),
    "",
    "A picture that matches several sets counts in each. Evaluation sets compared with:",
    "",
    ...report.evaluation.map((set) => `- ${set.name}: ${set.count} pictures, sha256 \`${set.imagesSha256}\``),
  ];
  for (const pair of report.pairs.filter(({ removed }) => removed.length > 0)) {
    lines.push("", `## ${pair.training} against ${pair.against}: ${pair.removed.length}`, "");
    for (const row of pair.removed.slice(0, examplesPerPair)) {
      const how =
        row.difference === undefined ? "" : ` (difference ${row.difference}${row.mirrored ? ", mirrored" : ""})`;
      lines.push(`- \`${row.key}\` “${row.text}” = \`${row.keptKey}\` “${row.keptText}”${how}`);
    }
    if (pair.removed.length > examplesPerPair) lines.push(`- … and ${pair.removed.length - examplesPerPair} more`);
  }
  return `${lines.join("\n")}\n`;
}
