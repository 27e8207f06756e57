import { UserError } from "../../core/errors.ts";

/** More labels than this are refused: it is a list of something else by mistake. */
export const maxLabels = 10_000;
export const maxTemplates = 1_000;

const slot = "{}";

/**
 * Checks labels: at least two, none empty, no two alike.
 *
 * @returns the labels without surrounding white space
 * @throws  UserError (bad-argument) that names the offending label
 */
export function checkLabels(labels: readonly string[]): string[] {
  const trimmed = labels.map((label) => label.trim());
  const emptyAt = trimmed.indexOf("");
  if (emptyAt >= 0) {
    throw new UserError("bad-argument", `Labels: none may be empty, got nothing as number ${emptyAt + 1}. Remove it.`);
  }
  if (trimmed.length < 2) {
    const remedy = 'Add what else it could be, such as "something else".';
    throw new UserError(
      "bad-argument",
      `Labels: at least 2 are needed to choose from, got ${trimmed.length}. ${remedy}`,
    );
  }
  if (trimmed.length > maxLabels) {
    throw new UserError("bad-argument", `Labels: at most ${maxLabels} are allowed, got ${trimmed.length}. Use fewer.`);
  }
  const seen = new Set<string>();
  for (const label of trimmed) {
    if (seen.has(label)) {
      throw new UserError("bad-argument", `Labels: each may occur once, got "${label}" twice. Remove one of them.`);
    }
    seen.add(label);
  }
  return trimmed;
}

/**
 * Checks prompt templates: at least one, each with exactly one `{}`.
 *
 * @throws UserError (bad-argument) that names the offending template
 */
export function checkTemplates(templates: readonly string[]): string[] {
  if (templates.length === 0 || templates.length > maxTemplates) {
    throw new UserError(
      "bad-argument",
      `Templates: 1 to ${maxTemplates} are needed, got ${templates.length}. Write one a line, with {} for the label.`,
    );
  }
  for (const template of templates) {
    if (template.split(slot).length !== 2) {
      throw new UserError(
        "bad-argument",
        `Template "${template}": must hold {} once, for the label. Correct the line.`,
      );
    }
  }
  return [...templates];
}

/** Puts the label into the template. */
export function fillTemplate(template: string, label: string): string {
  return template.replace(slot, () => label); // a function, for a label may hold "$&"
}
