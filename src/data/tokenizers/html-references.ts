import { decodeHTML, decodeHTMLStrict } from "entities";

/** What the code points 0x80 … 0x9F stand for in windows-1252; the five unassigned ones stand for themselves. */
export const WINDOWS_1252_C1 =
  "\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f" +
  "\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178";

/**
 * Resolves every character reference of a text as Python's `html.unescape` does: the HTML standard's rules (names that
 * need no semicolon, longest match), except that references to control characters and noncharacters vanish.
 */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?|[^\t\n\f <&#;]{1,32};?)/g, (whole, hex, decimal) => {
    if (hex !== undefined) return characterOf(Number.parseInt(hex, 16));
    if (decimal !== undefined) return characterOf(Number.parseInt(decimal, 10));
    return decodeHTML(whole);
  });
}

/**
 * Resolves only the references that end in a semicolon, and the names of lower-case references written all in capitals
 * (`&EACUTE;`), which are never meant as text. This is the careful unescaping of ftfy.
 */
export function unescapeCertainHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (whole) => {
    if (whole.startsWith("&#")) {
      const character = unescapeHtml(whole);
      return character.includes(";") ? whole : character;
    }
    const named = decodeHTMLStrict(whole);
    if (named !== whole || whole !== whole.toUpperCase() || decodeHTML(whole) !== whole) return named;
    const lowerCase = whole.toLowerCase();
    const fromLowerCase = decodeHTMLStrict(lowerCase);
    return fromLowerCase === lowerCase ? whole : fromLowerCase.toUpperCase();
  });
}

function characterOf(codePoint: number): string {
  if (codePoint === 0 || codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) return "\ufffd";
  if (codePoint === 0x0d) return "\r";
  if (codePoint >= 0x80 && codePoint <= 0x9f) return WINDOWS_1252_C1.charAt(codePoint - 0x80);
  const isControl = (codePoint < 0x20 && ![0x09, 0x0a, 0x0c].includes(codePoint)) || codePoint === 0x7f;
  const isNoncharacter = (codePoint >= 0xfdd0 && codePoint <= 0xfdef) || (codePoint & 0xfffe) === 0xfffe;
  return isControl || isNoncharacter ? "" : String.fromCodePoint(codePoint);
}
