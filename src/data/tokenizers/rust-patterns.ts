import { UserError } from "../../core/errors.ts";

/** A pattern as `tokenizer.json` writes it: a plain text, or an expression of the Oniguruma library. */
export type StoredPattern = { readonly String: string } | { readonly Regex: string };

/**
 * A JavaScript expression for a stored pattern. Only what both dialects mean alike is taken over.
 *
 * @throws UserError `unsupported` naming the pattern
 */
export function compilePattern(pattern: StoredPattern): RegExp {
  if ("String" in pattern) return new RegExp(pattern.String.replace(/[\\^$.*+?()[\]{}|/-]/g, quoteCharacter), "gu");
  const refuse = (cause?: unknown): never => {
    const rule = `a pattern must be one that JavaScript reads alike, got ${JSON.stringify(pattern.Regex)}`;
    throw new UserError("unsupported", `${rule}.`, { cause });
  };
  // Groups with options, intersections and POSIX classes, possessive repeats, and line ends have another meaning there.
  const unescaped = pattern.Regex.replace(/\\./gs, "");
  if (/&&|\[:/.test(unescaped) || /\(\?|[*+?}]\+|[.^$]/.test(unescaped.replace(/\[[^\]]*\]/g, ""))) refuse();
  const source = pattern.Regex.replace(/\\(.)/gs, (whole, character: string) => {
    if (character === "s") return "\\p{White_Space}";
    if (character === "S") return "\\P{White_Space}";
    if (/[nrt\\^$.*+?()[\]{}|/]/.test(character)) return whole;
    if (/[pP]/.test(character)) return whole;
    if (character === "-") return "\\x2d"; // may be escaped inside a class alone
    return /[!-/:-@[-`{-~ ]/.test(character) ? character : refuse();
  });
  try {
    return new RegExp(source, "gu");
  } catch (error) {
    return refuse(error);
  }
}

function quoteCharacter(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
