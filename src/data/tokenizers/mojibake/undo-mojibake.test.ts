import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fixText } from "../clip-text.ts";
import { codePages } from "./code-pages.ts";
import { decodeUtf8 } from "./misread-utf8.ts";
import { undoMojibake } from "./undo-mojibake.ts";
import { isUnlikelyText } from "./unlikely-text.ts";

const cases: { text: string; fixed: string }[] = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/garbled-texts.json", import.meta.url), "utf8"),
);

describe("undoMojibake", () => {
  it("with the rest of fixText gives what ftfy gives", () => {
    expect(cases.length).toBeGreaterThanOrEqual(400);
    expect(cases.map(({ text }) => fixText(text))).toEqual(cases.map(({ fixed }) => fixed));
    expect(cases.filter(({ text, fixed }) => text !== fixed).length).toBeGreaterThan(150);
  });

  it.each([
    ["windows-1252", "itâ€™s", "it’s"],
    ["windows-1251, Cyrillic", "РџСЂРёРІРµС‚", "Привет"],
    ["Mac OS Roman", "caf√©", "café"],
    ["two encodings, one upon the other", "cafÃƒÂ©", "café"],
    ["a no-break space that became plain", "voilÃ  le travail", "voilà le travail"],
    ["but a Portuguese contraction stays one word", "Ã s quatro", "às quatro"],
    ["a byte that was lost", "â€œso it isâ€\ufffd", "“so it is\ufffd"],
    ["surrogates written as UTF-8 (CESU-8)", "í\xa0½í¸€", "😀"],
    ["a stretch within a text of another script", "日本 cafÃ© 日本", "日本 café 日本"],
    ["controls beyond ASCII", "日\x93本\x94", "日“本”"],
  ])("undoes %s", (_, garbled, expected) => {
    expect(undoMojibake(garbled)).toBe(expected);
  });

  it.each(["café", "Ångström", "São Tomé", "ROMÂNIA", "ÂGE", "Привет", "Ελληνικά", "naïve “quotes” — 5 £", "日本語"])(
    "leaves %s as it is",
    (text) => {
      expect(isUnlikelyText(text)).toBe(false);
      expect(undoMojibake(text)).toBe(text);
    },
  );
});

describe("codePages", () => {
  it("read every byte as a character of its own, and back", () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    for (const page of codePages()) {
      expect(new Set(page.characters).size, page.name).toBe(256);
      expect(page.bytesOf(page.characters.join("")), page.name).toEqual(all);
      expect(page.bytesOf("😀"), page.name).toBeUndefined();
    }
  });
});

describe("decodeUtf8", () => {
  it("reads Java's zero and CESU-8, and nothing that is overlong or half a pair", () => {
    expect(decodeUtf8(Uint8Array.of(0x61, 0xc0, 0x80))).toBe("a\0");
    expect(decodeUtf8(Uint8Array.of(0xed, 0x95, 0x9c, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80))).toBe("한😀");
    for (const wrong of [[0xc0, 0x81], [0xed, 0xa0, 0xbd], [0xe2, 0x82], [0xf8, 0x88], [0xc0]]) {
      expect(decodeUtf8(Uint8Array.from(wrong))).toBeUndefined();
    }
  });
});
