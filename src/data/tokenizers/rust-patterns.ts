import { UserError } from "../../core/errors.ts";

/** A pattern as `tokenizer.json` writes it: a plain text, or an expression of the Oniguruma library. */
export type StoredPattern = { readonly String: string } | { readonly Regex: string };

/** Repeats in one alternative of a pattern; known tokenizers have up to two. */
const MOST_REPEATS = 3;

/**
 * A JavaScript expression for a stored pattern. Only what both dialects mean alike is taken over, and nothing that may
 * take exponential time: JavaScript backtracks, and a tokenizer's file is not to be trusted.
 *
 * @throws UserError `unsupported` naming the pattern
 */
export function compilePattern(pattern: StoredPattern): RegExp {
  if ("String" in pattern) return new RegExp(pattern.String.replace(/[\\^$.*+?()[\]{}|/-]/g, quoteCharacter), "gu");
  const refuse = (rule: string, cause?: unknown): never => {
    const message = `a pattern must ${rule}, got ${JSON.stringify(pattern.Regex)}.`;
    throw new UserError("unsupported", message, { cause });
  };
  const refuseDialect = (cause?: unknown): never => refuse("be one that JavaScript reads alike", cause);
  // Groups with options, intersections and POSIX classes, possessive repeats, and line ends have another meaning there.
  // Escapes and classes stand for one character each, and hold nothing that groups or repeats.
  const unescaped = pattern.Regex.replace(/\\[pP]\{[^}]*\}|\\./gs, "x");
  const outline = unescaped.replace(/\[[^\]]*\]/g, "x");
  if (/&&|\[:/.test(unescaped) || /\(\?|[*+?}]\+|[.^$]/.test(outline)) refuseDialect();
  const source = pattern.Regex.replace(/\\(.)/gs, (whole, character: string) => {
    if (character === "s") return "\\p{White_Space}";
    if (character === "S") return "\\P{White_Space}";
    if (/[nrt\\^$.*+?()[\]{}|/]/.test(character)) return whole;
    if (/[pP]/.test(character)) return whole;
    if (character === "-") return "\\x2d"; // may be escaped inside a class alone
    return /[!-/:-@[-`{-~ ]/.test(character) ? character : refuseDialect();
  });
  const danger = dangerOf(outline);
  if (danger !== undefined) refuse(danger);
  try {
    return new RegExp(source, "gu");
  } catch (error) {
    return refuseDialect(error);
  }
}

/**
 * The rule that a pattern breaks by which its matching may take exponential time: a group that is repeated must hold
 * neither a repeat nor alternatives, which can match the same text in many ways; nor may repeats follow each other
 * without end.
 */
function dangerOf(outline: string): string | undefined {
  const groups = [newGroup()]; // those that are open, and the whole around them
  for (const [part] of outline.matchAll(/\)(?:[*+?]|\{[^}]*\})?|[*+?]|\{[^}]*\}|[(|]/g)) {
    const group = groups[groups.length - 1];
    if (part === "(") groups.push(newGroup());
    else if (part === "|")
      Object.assign(group, { isVaried: true, others: Math.max(group.others, group.repeats), repeats: 0 });
    else if (part[0] === ")") {
      const outer = groups[groups.length - 2];
      if (!outer) return undefined; // no expression at all, which is said when it is compiled
      groups.pop();
      const isRepeated = part.length > 1 && part !== ")?"; // which is there once or not at all
      if (isRepeated && group.isVaried) return "repeat no group that itself holds a repeat or alternatives";
      outer.isVaried ||= group.isVaried || part.length > 1;
      outer.repeats += Math.max(group.others, group.repeats) + (part.length > 1 ? 1 : 0);
    } else {
      group.isVaried = true;
      group.repeats++;
    }
    if (groups.some(({ repeats }) => repeats > MOST_REPEATS)) return `have at most ${MOST_REPEATS} repeats in a row`;
  }
  return undefined;
}

/** What is found in a group: whether it can match in several ways, and its repeats in this and the other alternatives. */
function newGroup(): { isVaried: boolean; repeats: number; others: number } {
  return { isVaried: false, repeats: 0, others: 0 };
}

function quoteCharacter(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
