/** Bytes as a string of as many characters, so that patterns apply to them. */
const toBinary = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const toBytes = (binary: string): Uint8Array => Uint8Array.from(binary, (character) => character.charCodeAt(0));

const UTF8_OF_REPLACEMENT = "\xef\xbf\xbd";

/** Ã and a space that is no part of a Portuguese contraction (às, àquele …): the word à, its second byte and the space after it one. */
const GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;
/** What is UTF-8 if its space is the no-break space that it was before somebody made it plain. */
const SPACED = alternatives([
  "[\xc2\xc3\xc5\xce\xd0\xd9] ",
  "[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
  "[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
  "\xf0 [\x80-\xbf][\x80-\xbf]",
  "\xf0[\x80-\xbf] [\x80-\xbf]",
  "\xf0[\x80-\xbf][\x80-\xbf] ",
]);
/** UTF-8 with a byte that was lost (0x1A) and at most one that became a question mark. */
const LOSSY = alternatives([
  "[\xc2-\xdf]\x1a",
  "[\xc2\xc3]\\?",
  "\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
  "\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
  "[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
  "[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
  "[\xf0-\xf4][\x1a?][\x1a\x80-\xbf]{2}",
  "[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
  "[\xf0-\xf4][\x1a\x80-\xbf]{2}[\x1a?]",
  "\x1a",
]);
/** What UTF-8 has not and its relatives have: Java's zero, and a character beyond 0xFFFF as two surrogates of three bytes (CESU-8). */
const RELATIVES = /(\xc0\x80)|\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g;

function alternatives(patterns: readonly string[]): RegExp {
  return new RegExp(patterns.join("|"), "g");
}

/** Makes the spaces in what must have been UTF-8 the no-break spaces that they were. */
export function restoreNoBreakSpaces(bytes: Uint8Array): Uint8Array {
  const binary = toBinary(bytes).replace(GRAVE_WORD, "\xc3\xa0 ");
  return toBytes(binary.replace(SPACED, (sequence) => sequence.replace(" ", "\xa0")));
}

/** Puts the replacement character in the place of UTF-8 of which bytes were lost. */
export function replaceLossySequences(bytes: Uint8Array): Uint8Array {
  return toBytes(toBinary(bytes).replace(LOSSY, UTF8_OF_REPLACEMENT));
}

/** Decodes UTF-8, with what Java and CESU-8 write otherwise. @returns undefined if the bytes are none of these */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    if (!bytes.includes(0xed) && !bytes.includes(0xc0)) return decodeStrictly(bytes);
    const binary = toBinary(bytes);
    let text = "";
    let end = 0;
    for (const match of binary.matchAll(RELATIVES)) {
      text += decodeStrictly(bytes.subarray(end, match.index)) + relativeOf(match);
      end = match.index + match[0].length;
    }
    return text + decodeStrictly(bytes.subarray(end));
  } catch {
    return undefined;
  }
}

function relativeOf([, zero, ...surrogates]: RegExpMatchArray): string {
  if (zero) return "\0";
  const [high, middle, low, last] = surrogates.map((character) => (character as string).charCodeAt(0)) as Four;
  const bits = ((high & 0x0f) << 16) + ((middle & 0x3f) << 10) + ((low & 0x0f) << 6) + (last & 0x3f);
  return String.fromCodePoint(0x10000 + bits);
}

type Four = [number, number, number, number];

function decodeStrictly(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}
