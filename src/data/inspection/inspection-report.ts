import type { Finding } from "./finding.ts";
import type { SetInspection } from "./inspect-set.ts";
import type { ClassCount, Range } from "./set-statistics.ts";

const barWidth = 30;
const classesShown = 20;
const itemsShown = 3;
const longestItem = 160; // characters
const nameWidth = 28;

/** An inspection in lines for people. */
export function inspectionLines(inspection: SetInspection): string[] {
  const { name, format, splits, classes, isMultiLabel, captions, sizes } = inspection;
  const images = Object.values(splits).reduce((sum, count) => sum + count, 0);
  const kind =
    classes.length === 0
      ? "no classes"
      : `${count(classes.length, "class", "classes")}${isMultiLabel ? ", several a picture" : ""}`;
  const parts = Object.entries(splits).map(([split, number]) => `${split} ${grouped(number)}`);
  const lines = [
    `${name}: ${format}, ${count(images, "picture", "pictures")}, ${kind}`,
    `splits       ${parts.join(", ")}`,
    `files        ${megabytes(inspection.bytes)}: ${shares(inspection.fileFormats)}`,
  ];
  if (sizes) {
    const common = sizes.common.map(({ size, count: number }) => `${size} (${grouped(number)})`);
    const more = sizes.distinct > sizes.common.length ? `, … ${grouped(sizes.distinct)} sizes in all` : "";
    lines.push(
      `sizes        width ${range(sizes.width)}, height ${range(sizes.height)}, aspect ${range(sizes.aspect, 2)}`,
    );
    lines.push(`             most often ${common.join(", ")}${more}`);
  }
  if (captions) {
    const without =
      captions.imagesWithout > 0 ? `; ${count(captions.imagesWithout, "picture has", "pictures have")} none` : "";
    lines.push(`captions     ${grouped(captions.captions)}, ${grouped(captions.distinct)} of them different${without}`);
    lines.push(`             a picture: ${range(captions.perImage)}; words: ${range(captions.words)}`);
  }
  lines.push(`fingerprint  ${inspection.fingerprint}`);
  if (classes.length > 0) lines.push("", ...classLines(classes, Object.keys(splits)));
  return [...lines, "", ...findingLines(inspection.findings)];
}

function classLines(classes: readonly ClassCount[], splits: readonly string[]): string[] {
  const sorted = classes.length <= classesShown ? classes : [...classes].sort((a, b) => b.total - a.total);
  const most = Math.max(1, ...sorted.slice(0, classesShown).map(({ total }) => total));
  const rows = sorted.slice(0, classesShown).map(({ name, total, bySplit }) => {
    const bar = "█".repeat(total === 0 ? 0 : Math.max(1, Math.round((total / most) * barWidth)));
    const parts =
      splits.length > 1
        ? `  (${splits.map((split) => grouped(bySplit[split as keyof typeof bySplit] ?? 0)).join(" / ")})`
        : "";
    return `  ${shortened(name, nameWidth).padEnd(nameWidth)} ${bar.padEnd(barWidth)} ${grouped(total)}${parts}`;
  });
  const heading = `classes${splits.length > 1 ? `, pictures in all (${splits.join(" / ")})` : ""}`;
  if (sorted.length <= classesShown) return [heading, ...rows];
  const last = sorted[sorted.length - 1];
  const rest = sorted.length - classesShown;
  return [
    `${heading}, largest first`,
    ...rows,
    `  … and ${grouped(rest)} more, down to "${last.name}" with ${grouped(last.total)}`,
  ];
}

function findingLines(findings: readonly Finding[]): string[] {
  if (findings.length === 0) return ["nothing wrong was found"];
  return findings.flatMap(({ severity, count: number, message, items }) => {
    if (items.length === 1 && items[0] === message) return [`${severity}: ${message}`];
    const shown = items.slice(0, itemsShown).map((item) => `    ${shortened(item, longestItem)}`);
    const rest =
      number > itemsShown ? [`    … and ${grouped(number - itemsShown)} more (all of them with --json)`] : [];
    const times = number > 1 ? `${grouped(number)} × ` : "";
    return [`${severity}: ${times}${message}`, ...shown, ...rest];
  });
}

function range({ least, median, most }: Range, digits = 0): string {
  const text = (value: number): string => (digits > 0 ? value.toFixed(digits) : grouped(value));
  return least === most ? text(least) : `${text(least)} … ${text(most)} (median ${text(median)})`;
}

function shares(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return sorted
    .map(([name, number]) => `${grouped(number)} ${name === "other" ? "other" : name.toUpperCase()}`)
    .join(", ");
}

function megabytes(bytes: number): string {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function count(number: number, one: string, many: string): string {
  return `${grouped(number)} ${number === 1 ? one : many}`;
}

/** A whole number with "," between its thousands. */
function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function shortened(text: string, length: number): string {
  const letters = [...text];
  return letters.length <= length ? text : `${letters.slice(0, length - 1).join("")}…`;
}
