import { describe, expect, it } from "vitest";
import { cleanClipText, fixText } from "./clip-text.ts";
import { unescapeCertainHtml, unescapeHtml } from "./html-references.ts";

describe("fixText", () => {
  it.each([
    ["curly quotes become straight", "“don’t”", '"don\'t"'],
    ["Latin ligatures come apart", "ﬁve oﬃces", "five offices"],
    ["full and half width become normal", "ＡＢＣ　ｶﾞ", "ABC ガ"],
    ["line breaks become one kind", "a\r\nb\rc\u2028d", "a\nb\nc\nd"],
    ["control characters and terminal colours go", "a\x00b\x1b[31mc\ufeff", "abc"],
    ["combining accents compose", "cafe\u0301", "café"],
    ["windows-1252 controls become their characters", "\x93a\x94", '"a"'],
    ["a lone surrogate becomes a replacement character", "a\ud83d", "a\ufffd"],
    ["UTF-8 read as windows-1252 is undone", "itâ€™s a cafÃ© ðŸ˜€", "it's a café 😀"],
    ["twice garbled text too", "cafÃƒÂ©", "café"],
    ["Cyrillic needs three letters in a row", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"],
    ["true Latin letters stay", "ÂGE, pão, Áé, ROMÂNIA", "ÂGE, pão, Áé, ROMÂNIA"],
    ["certain HTML references resolve", "a &amp; b &amp c", "a & b &amp c"],
    ["but not once a line has a tag", "<i>&amp;\n&amp;", "<i>&amp;\n&amp;"],
  ])("%s", (_, text, expected) => {
    expect(fixText(text)).toBe(expected);
  });
});

describe("cleanClipText", () => {
  it("unescapes twice, collapses white space, lower-cases", () => {
    expect(cleanClipText("  A <b>DOG</b>\n &amp;amp;\u00a0 Cat ")).toBe("a <b>dog</b> & cat");
    expect(cleanClipText("  Plain   TEXT ")).toBe("plain text");
  });
});

describe("unescapeHtml", () => {
  it.each([
    ["&notit;", "¬it;", "the longest name that needs no semicolon"],
    ["&nGt;", "≫⃒", "a name for two characters"],
    ["&#128;&#x93;", "€“", "windows-1252 numbers"],
    ["&#0;&#xD800;&#x110000;", "\ufffd\ufffd\ufffd", "numbers of no character"],
    ["a&#1;&#xFFFF;b", "ab", "controls and noncharacters vanish"],
    ["&unknown; & &#; &", "&unknown; & &#; &", "what is no reference stays"],
  ])("%s → %s (%s)", (text, expected) => {
    expect(unescapeHtml(text)).toBe(expected);
  });

  it("in its careful form wants semicolons and knows names in capitals", () => {
    expect(unescapeCertainHtml("&eacute;&EACUTE;&eacute &nTILDE; &#233; &#59;")).toBe("éÉ&eacute &nTILDE; é &#59;");
  });
});
