import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { compilePattern } from "./rust-patterns.ts";
import { patternSchema } from "./text-normalizers.ts";

/** Cuts a normalised text into parts that no piece crosses; `isFirst`: whether the text stands at the very beginning. */
export type PreTokenizer = (text: string, isFirst: boolean) => string[];

const stepSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("Sequence"), pretokenizers: z.array(z.unknown()) }),
  z.object({ type: z.literal("WhitespaceSplit") }),
  z.object({
    type: z.literal("Metaspace"),
    replacement: z.string().length(1),
    add_prefix_space: z.boolean().optional(), // of older files, for `prepend_scheme`
    prepend_scheme: z.enum(["always", "first", "never"]).optional(),
    split: z.boolean().default(true),
  }),
  z.object({
    type: z.literal("Split"),
    pattern: patternSchema,
    behavior: z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext"]),
    invert: z.literal(false),
  }),
]);

type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext";

/**
 * The `pre_tokenizer` of a `tokenizer.json`; null cuts nothing.
 *
 * @throws UserError `unsupported` naming a step that we do not have
 */
export function createPreTokenizer(stored: unknown): PreTokenizer {
  if (stored === null || stored === undefined) return (text) => [text];
  const parsed = stepSchema.safeParse(stored);
  if (!parsed.success) {
    const type = typeof stored === "object" && "type" in stored ? stored.type : stored;
    throw new UserError("unsupported", `pre_tokenizer must be of a known type and form, got ${JSON.stringify(type)}.`);
  }
  const step = parsed.data;
  switch (step.type) {
    case "Sequence": {
      const steps = step.pretokenizers.map(createPreTokenizer);
      return (text, isFirst) =>
        steps.reduce((parts, each) => parts.flatMap((part, i) => each(part, isFirst && i === 0)), [text]);
    }
    case "WhitespaceSplit":
      return (text) => splitBy(text, /\p{White_Space}/gu, "Removed");
    case "Split": {
      const pattern = compilePattern(step.pattern);
      return (text) => splitBy(text, pattern, step.behavior);
    }
    case "Metaspace": {
      const { replacement: mark, split } = step;
      const scheme = step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always");
      const pattern = compilePattern({ String: mark });
      return (text, isFirst) => {
        let marked = text.replaceAll(" ", mark);
        const isPrepended = scheme === "always" || (scheme === "first" && isFirst);
        if (isPrepended && marked !== "" && !marked.startsWith(mark)) marked = mark + marked;
        return split ? splitBy(marked, pattern, "MergedWithNext") : [marked];
      };
    }
  }
}

/** The parts of a text between and with the matches of a pattern; none is empty. */
function splitBy(text: string, pattern: RegExp, behavior: Behavior): string[] {
  const parts: string[] = [];
  let pending = ""; // what belongs to the part that comes next
  let at = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    const before = pending + text.slice(at, index);
    pending = behavior === "MergedWithNext" ? match : "";
    if (behavior === "MergedWithPrevious") parts.push(before + match);
    else if (behavior === "Isolated") parts.push(before, match);
    else parts.push(before);
    at = index + match.length;
  }
  parts.push(pending + text.slice(at));
  return parts.filter((part) => part !== "");
}
