/** A piece of HTML or SVG whose texts are escaped already. Made by {@link markup} only, so nothing slips through. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type MarkupValue = Markup | string | number | undefined | false | readonly MarkupValue[];

/** Template tag: strings and numbers put in are escaped, pieces of markup are not, lists are joined, nothing is "". */
export function markup(literals: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  return new Markup(literals.reduce((text, literal, i) => text + markupText(values[i - 1]) + literal));
}

/** Escapes a text for element content and for quoted attributes of HTML and SVG; control characters become U+FFFD. */
export function escapeMarkup(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: XML allows none of these, even escaped
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;")
  );
}

function markupText(value: MarkupValue): string {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(markupText).join("");
  if (typeof value === "string" || typeof value === "number") return escapeMarkup(String(value));
  return "";
}
