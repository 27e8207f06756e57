/** What an inspection can find. A public contract: the names stand in JSON. */
export type FindingKind =
  | "left-out" // rows and files that could not be used
  | "unreadable-image" // damaged, truncated, or no picture
  | "leakage" // the same bytes in two splits
  | "near-leakage" // pictures in two splits that look the same
  | "contradicting-labels" // the same picture under different labels
  | "duplicate" // the same bytes twice in one split
  | "near-duplicate" // pictures of one split that look the same
  | "not-judged" // near-copies that were not looked for
  | "wrong-extension"
  | "class-empty"
  | "class-absent"
  | "class-merged"
  | "class-renamed"
  | "one-image-class"
  | "imbalance"
  | "encoding"
  | "ignored"
  | "descended" // a folder around the folders of the classes
  | "split-by-name";

/** One kind of problem, with everything it was found in. */
export interface Finding {
  readonly kind: FindingKind;
  /** An error makes scores wrong or loses data; a warning is worth a look; a note only says how something was read. */
  readonly severity: "error" | "warning" | "note";
  readonly count: number;
  readonly message: string;
  /** The rows, files, classes or pairs, all of them. */
  readonly items: readonly string[];
}

const severities: readonly Finding["severity"][] = ["error", "warning", "note"];

/** The findings, errors first. */
export function bySeverity(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
}

/** A finding of `items`, or none where there are none. */
export function findingOf(
  kind: FindingKind,
  severity: Finding["severity"],
  items: readonly string[],
  message: string,
): Finding[] {
  return items.length === 0 ? [] : [{ kind, severity, count: items.length, message, items }];
}
