import { unescapeCertainHtml, unescapeHtml, WINDOWS_1252_C1 } from "./html-references.ts";

const LIGATURES: Readonly<Record<string, string>> = {
  ...{ Ĳ: "IJ", ĳ: "ij", ŉ: "ʼn", Ǳ: "DZ", ǲ: "Dz", ǳ: "dz", Ǆ: "DŽ", ǅ: "Dž", ǆ: "dž", Ǉ: "LJ", ǈ: "Lj", ǉ: "lj" },
  ...{ Ǌ: "NJ", ǋ: "Nj", ǌ: "nj", ﬀ: "ff", ﬁ: "fi", ﬂ: "fl", ﬃ: "ffi", ﬄ: "ffl", ﬅ: "ſt", ﬆ: "st" },
};

/** Texts that `fixText` and the rest leave alone but for spaces and case. */
const PLAIN = /^[ -%'-~]*$/;

/**
 * The text CLIP's tokenizer splits: repaired, HTML unescaped twice, white space collapsed, lower-cased.
 * Radford et al., arXiv:2103.00020.
 */
export function cleanClipText(text: string): string {
  if (PLAIN.test(text)) return text.replace(/ +/g, " ").replace(/^ | $/g, "").toLowerCase();
  const unescaped = unescapeHtml(unescapeHtml(fixText(text)));
  return unescaped
    .replace(/\p{White_Space}+/gu, " ")
    .replace(/^ | $/g, "")
    .toLowerCase();
}

/**
 * Repairs text as ftfy's `fix_text` does, line by line until nothing changes: certain HTML references (not after a
 * `<`), UTF-8 read as windows-1252, C1 controls, Latin ligatures, full and half width, curly quotes, line breaks, lone
 * surrogates, terminal colours, control characters, NFC.
 * Differs: of the many encodings ftfy guesses, only UTF-8 read as windows-1252 or Latin-1 is undone, and only where it is
 * unmistakable; the bytes of a no-break space that became a plain space are not restored.
 */
export function fixText(text: string): string {
  let mayUnescape = true;
  let fixed = "";
  for (const line of text.split(/(?<=\n)/)) {
    if (line.includes("<")) mayUnescape = false;
    fixed += fixLine(line, mayUnescape);
  }
  return fixed;
}

function fixLine(line: string, mayUnescape: boolean): string {
  for (let current = line; ; ) {
    const certain = mayUnescape && !current.includes("<") ? unescapeCertainHtml(current) : current;
    const next = undoMojibake(certain)
      .replace(/[\x80-\x9f]/g, (control) => WINDOWS_1252_C1.charAt(control.charCodeAt(0) - 0x80))
      .replace(/[Ĳĳŉ\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06]/g, (ligature) => LIGATURES[ligature] ?? ligature)
      .replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize("NFKC"))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n?|[\u2028\u2029\x85]/g, "\n")
      .replace(/[\ud800-\udfff]/gu, "\ufffd")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: terminal escapes begin with one
      .replace(/\x1b\[[\d;]*[a-zA-Z]/g, "")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
      .replace(/[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, "")
      .normalize("NFC");
    if (next === current) return next;
    current = next;
  }
}

const HIGH_BYTES = new Map<string, number>();
for (let byte = 0x80; byte < 0x100; byte++) {
  HIGH_BYTES.set(String.fromCharCode(byte), byte);
  if (byte < 0xa0) HIGH_BYTES.set(WINDOWS_1252_C1.charAt(byte - 0x80), byte);
}

const NEXT = `[\\x80-\\xbf${WINDOWS_1252_C1}]`;
// One alone is certain enough if it begins a Latin-1 letter (Â, Ã), punctuation, a symbol or kana (â, ã, ï) or an emoji
// (ð); three in a row are certain in any script.
const MOJIBAKE = new RegExp(
  `(?:[Â-ß]${NEXT}|[à-ï]${NEXT}{2}|[ðó]${NEXT}{3}){3,}|[ÂÃ]${NEXT}|[âãï]${NEXT}{2}|ð${NEXT}{3}`,
  "g",
);

/** Undoes UTF-8 that was read as windows-1252: `â€œcafÃ©â€�` was “café”. */
function undoMojibake(text: string): string {
  return text.replace(MOJIBAKE, (garbled) => {
    const bytes = Uint8Array.from(garbled, (character) => HIGH_BYTES.get(character) ?? 0);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return garbled; // an overlong or unassigned form: it was not UTF-8
    }
  });
}
