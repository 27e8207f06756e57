import { codePages } from "./code-pages.ts";
import { decodeUtf8, replaceLossySequences, restoreNoBreakSpaces } from "./misread-utf8.ts";
import { isUnlikelyText } from "./unlikely-text.ts";

/** Pages that garbled stretches within a text are not looked for in. */
const wholeTextsOnly = new Set(["iso-8859-2", "macintosh", "cp437"]);

let garbledStretch: RegExp | undefined;

/**
 * Undoes UTF-8 that was decoded as another encoding, as often as it was, where the text looks as if it had been:
 * `cafÃƒÂ©` was café, twice garbled. The same answers as ftfy 6.3's `fix_encoding`.
 */
export function undoMojibake(text: string): string {
  for (let current = text; ; ) {
    const next = undoOnce(current);
    if (next === current) return next;
    current = next;
  }
}

function undoOnce(text: string): string {
  if (!isUnlikelyText(text)) return text;
  for (const page of codePages()) {
    const bytes = page.bytesOf(text);
    if (!bytes) continue;
    // Mac OS Roman's dashes before a space would be taken for UTF-8.
    const spaced = page.name === "macintosh" ? bytes : restoreNoBreakSpaces(bytes);
    const decoded = decodeUtf8(page.isLenient ? replaceLossySequences(spaced) : spaced);
    if (decoded !== undefined) return decoded;
  }
  const mended = undoStretches(text);
  return mended === text ? decodeControls(text) : mended;
}

/** Undoes what is garbled within a text that is not garbled as a whole. */
function undoStretches(text: string): string {
  garbledStretch ??= patternOfStretches();
  return text.replace(garbledStretch, (stretch) =>
    stretch.length < text.length && isUnlikelyText(stretch) ? undoMojibake(stretch) : stretch,
  );
}

/** Control characters beyond ASCII were meant as windows-1252's characters. */
function decodeControls(text: string): string {
  const windows = codePages().find(({ name }) => name === "windows-1252")?.characters as readonly string[];
  return text.replace(/[\x80-\x9f]/g, (control) => windows[control.charCodeAt(0)] as string);
}

/** Characters that bytes of UTF-8 become in any of the pages: a lead byte and as many others as it asks for. */
function patternOfStretches(): RegExp {
  const pages = codePages().filter(({ name }) => !wholeTextsOnly.has(name));
  const charactersOf = (bytes: readonly number[]): string =>
    [...new Set(pages.flatMap(({ characters }) => bytes.map((byte) => characters[byte])))].join("");
  const between = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const following = charactersOf(between(0x80, 0xbf));
  const escaped = (characters: string) => characters.replace(/[\\\]^-]/g, "\\$&");
  const next = `[ ${escaped(following)}]`; // a space may have been a no-break space
  // What true text may have before a garbled letter does not make it part of a longer sequence.
  const before = escaped(following.replace(/[–—―‘’‚“”„•…]/g, ""));
  const sequences = [
    `[${charactersOf(between(0xc2, 0xdf))}]${next}`,
    `[${charactersOf(between(0xe0, 0xef))}]${next}{2}`,
    `[${charactersOf([0xf0, 0xf3])}]${next}{3}`, // emoji, and the tags of flags
  ];
  return new RegExp(`(?<![${before}])(?:${sequences.join("|")})+`, "g");
}
