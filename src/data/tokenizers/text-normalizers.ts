import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { CharacterMap } from "./character-map.ts";
import { compilePattern } from "./rust-patterns.ts";

/** From a text to a text, before it is cut. */
export type TextNormalizer = (text: string) => string;

export const patternSchema = z.union([z.strictObject({ String: z.string() }), z.strictObject({ Regex: z.string() })]);

const stepSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("Sequence"), normalizers: z.array(z.unknown()) }),
  z.object({ type: z.literal("Lowercase") }),
  z.object({ type: z.literal("Replace"), pattern: patternSchema, content: z.string() }),
  z.object({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
  z.object({ type: z.literal("Prepend"), prepend: z.string() }),
  z.object({ type: z.enum(["NFC", "NFD", "NFKC", "NFKD"]) }),
  z.object({ type: z.literal("Precompiled"), precompiled_charsmap: z.string() }),
]);

/**
 * The `normalizer` of a `tokenizer.json` (null: none), with the tokenizers library's own treatment of Unicode.
 *
 * @throws UserError `unsupported` naming a step that we do not have, `corrupt` for rules that cannot be read
 */
export function createNormalizer(stored: unknown): TextNormalizer {
  if (stored === null || stored === undefined) return (text) => text;
  const parsed = stepSchema.safeParse(stored);
  if (!parsed.success) {
    const type = typeof stored === "object" && "type" in stored ? stored.type : stored;
    throw new UserError("unsupported", `normalizer must be of a known type and form, got ${JSON.stringify(type)}.`);
  }
  const step = parsed.data;
  switch (step.type) {
    case "Sequence": {
      const steps = step.normalizers.map(createNormalizer);
      return (text) => steps.reduce((normalized, each) => each(normalized), text);
    }
    case "Lowercase":
      return lowerCaseEach;
    case "Replace": {
      const pattern = compilePattern(step.pattern);
      return (text) => text.replace(pattern, () => step.content);
    }
    case "Strip": {
      const ends = [
        ...(step.strip_left ? ["^\\p{White_Space}+"] : []),
        ...(step.strip_right ? ["\\p{White_Space}+$"] : []),
      ];
      const pattern = new RegExp(ends.join("|"), "gu");
      return ends.length === 0 ? (text) => text : (text) => text.replace(pattern, "");
    }
    case "Prepend":
      return (text) => (text === "" ? "" : step.prepend + text);
    case "Precompiled":
      return precompiled(step.precompiled_charsmap);
    default:
      return (text) => text.normalize(step.type);
  }
}

/** Character by character: lower-casing a whole text would give a final capital sigma its word-final form. */
export function lowerCaseEach(text: string): string {
  return /^[\0-\x7f]*$/.test(text) ? text.toLowerCase() : Array.from(text, (each) => each.toLowerCase()).join("");
}

/**
 * SentencePiece's rules as the tokenizers library applies them: to user-perceived characters of less than 6 bytes, else
 * to single code points; the shortest rule that one begins with replaces all of it. SentencePiece itself differs.
 */
function precompiled(base64: string): TextNormalizer {
  const rules = new CharacterMap(bytesOf(base64));
  const utf8 = new TextEncoder();
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  const replacementOf = (part: string): string | undefined => {
    for (const { place } of rules.matches(utf8.encode(part), 0)) return rules.textAt(place);
    return undefined;
  };
  return (text) => {
    let normalized = "";
    for (const { segment } of segmenter.segment(text)) {
      const whole = utf8.encode(segment).length < 6 ? replacementOf(segment) : undefined;
      if (whole !== undefined) normalized += whole;
      else for (const character of segment) normalized += replacementOf(character) ?? character;
    }
    return normalized;
  };
}

function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (byte) => byte.charCodeAt(0));
  } catch (error) {
    throw new UserError("corrupt", "normalizer: precompiled_charsmap must be Base64, it is not.", { cause: error });
  }
}
