import { WINDOWS_1252_C1 } from "../html-references.ts";

/** An encoding of one byte a character, in which UTF-8 may have been misread. */
export interface CodePage {
  readonly name: string;
  /** Unassigned bytes stand for the character of the same number, and 0x1A for the replacement character. */
  readonly isLenient: boolean;
  /** The characters of the bytes 0x00 to 0xFF. */
  readonly characters: readonly string[];
  /** @returns  the bytes that the text was read from, undefined if it has a character that the page has not */
  bytesOf(text: string): Uint8Array | undefined;
}

const CP437_HIGH =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

let pages: readonly CodePage[] | undefined;

/** The pages that UTF-8 is taken for, the likeliest first. */
export function codePages(): readonly CodePage[] {
  pages ??= [
    codePage("latin-1", (byte) => String.fromCharCode(byte)),
    // Not by TextDecoder, which in some versions of Node reads it as Latin-1.
    lenientPage("windows-1252", (byte) => WINDOWS_1252_C1[byte - 0x80] ?? String.fromCharCode(byte)),
    ...["windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257"].map((name) =>
      lenientPage(name, decodedBy(name)),
    ),
    codePage("iso-8859-2", decodedBy("iso-8859-2")),
    codePage("macintosh", decodedBy("macintosh")),
    codePage("cp437", (byte) => (byte < 0x80 ? String.fromCharCode(byte) : CP437_HIGH.charAt(byte - 0x80))),
  ];
  return pages;
}

function lenientPage(name: string, decode: (byte: number) => string): CodePage {
  const characterOf = (byte: number): string => {
    if (byte === 0x1a) return "\ufffd";
    const character = decode(byte);
    return character === "\ufffd" ? String.fromCharCode(byte) : character;
  };
  return codePage(name, characterOf, true);
}

function decodedBy(label: string): (byte: number) => string {
  const decoder = new TextDecoder(label);
  return (byte) => decoder.decode(Uint8Array.of(byte));
}

function codePage(name: string, characterOf: (byte: number) => string, isLenient = false): CodePage {
  const characters = Array.from({ length: 256 }, (_, byte) => characterOf(byte));
  const bytes = new Map(characters.map((character, byte) => [character, byte]));
  return {
    name,
    isLenient,
    characters,
    bytesOf(text) {
      const encoded = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) {
        const byte = bytes.get(text.charAt(i));
        if (byte === undefined) return undefined;
        encoded[i] = byte;
      }
      return encoded;
    },
  };
}
