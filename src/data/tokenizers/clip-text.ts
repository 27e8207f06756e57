import { unescapeCertainHtml, unescapeHtml, WINDOWS_1252_C1 } from "./html-references.ts";
import { undoMojibake } from "./mojibake/undo-mojibake.ts";

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
 * `<`), UTF-8 read as another encoding, C1 controls, Latin ligatures, full and half width, curly quotes, line breaks, lone
 * surrogates, terminal colours, control characters, NFC.
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
