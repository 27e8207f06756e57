import { z } from "zod";
import { UserError } from "../../core/errors.ts";

export const addedTokenSchema = z.object({
  id: z.int().nonnegative(),
  content: z.string().min(1),
  single_word: z.literal(false).default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

export type AddedToken = z.infer<typeof addedTokenSchema>;

/** A stretch of text, or a token that stands for itself. */
export type Segment = { readonly text: string } | { readonly id: number };

/** Finds tokens that are cut out of a text whole, ahead of the model: of those that begin at a place, the longest. */
export class AddedTokens {
  readonly #tokens = new Map<string, AddedToken>();
  readonly #pattern: RegExp | undefined;

  /** @throws UserError `corrupt` for an empty token */
  constructor(tokens: readonly AddedToken[]) {
    for (const token of tokens) {
      if (token.content === "")
        throw new UserError("corrupt", `added token ${token.id} must have a content, got none.`);
      this.#tokens.set(token.content, token);
    }
    const longestFirst = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    if (longestFirst.length > 0) this.#pattern = new RegExp(longestFirst.map(quote).join("|"), "gu");
  }

  /** The text in segments, none of them an empty text. */
  split(text: string): Segment[] {
    if (!this.#pattern) return text === "" ? [] : [{ text }];
    const segments: Segment[] = [];
    const add = (part: string): void => {
      if (part !== "") segments.push({ text: part });
    };
    let at = 0;
    for (const { 0: match, index } of text.matchAll(this.#pattern)) {
      const { id, lstrip, rstrip } = this.#tokens.get(match) as AddedToken;
      const before = text.slice(at, Math.max(at, index));
      add(lstrip ? before.replace(/\p{White_Space}+$/u, "") : before);
      segments.push({ id });
      at = Math.max(at, index + match.length);
      if (rstrip) at += /^\p{White_Space}*/u.exec(text.slice(at))?.[0].length ?? 0;
    }
    add(text.slice(at));
    return segments;
  }
}

function quote(content: string): string {
  return content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
