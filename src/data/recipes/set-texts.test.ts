import { describe, expect, it } from "vitest";
import { clipArtTexts, parseClipArtMetadata } from "./clip-art-texts.ts";
import { emojiConcepts, emojiTexts, plainHexcode } from "./emoji.ts";
import { productTexts } from "./fashion-products.ts";
import { tidyCaption } from "./flickr8k.ts";
import { isPhotoStamp, stampCaption } from "./tuxpaint.ts";

const svg = `<svg xmlns:xlink="x"><metadata><rdf:RDF><cc:Work rdf:about="">
  <dc:title>Salt &amp; Pepper&#33;</dc:title>
  <dc:subject><rdf:Bag><rdf:li></rdf:li><rdf:li>hash(0x86a0bb0)</rdf:li><rdf:li>kitchen_utensil</rdf:li></rdf:Bag></dc:subject>
  <dc:publisher><cc:Agent><dc:title>somebody</dc:title></cc:Agent></dc:publisher></cc:Work></rdf:RDF></metadata>
  <image width="3" xlink:href="photo.jpg"/></svg>`;
const nouns = new Set(["kitchen utensil", "animal", "animals", "bird", "crow", "piggy bank"]);
const isNoun = (text: string): boolean => nouns.has(text);

describe("clip art", () => {
  it("reads the work's own title and keywords", () => {
    expect(parseClipArtMetadata(svg)).toEqual({
      title: "Salt & Pepper!",
      keywords: ["", "hash(0x86a0bb0)", "kitchen_utensil"],
      linksElsewhere: true,
    });
    expect(parseClipArtMetadata('<svg><image xlink:href="data:image/png;base64,AA"/></svg>').linksElsewhere).toBe(
      false,
    );
  });

  it("weighs title, keywords and folder, and drops what is no noun", () => {
    const about = { title: "Crow", keywords: ["animal", "", "bird", "hash(0x1)", "hash"], linksElsewhere: false };
    expect(clipArtTexts("animals/crow_01.png", about, isNoun)).toEqual({
      texts: ["Crow", "animal", "bird", "animals"],
      weights: [0.5, 0.2, 0.2, 0.1],
    });
  });

  it("takes the file's name for files of a collection, and nothing for what has no words", () => {
    const about = { title: "Clipart by Somebody - jar", keywords: [], linksElsewhere: false };
    expect(clipArtTexts("x/piggy_bank_02.png", about, isNoun)).toEqual({ texts: ["piggy bank"], weights: [1] });
    expect(clipArtTexts("x/qq_02.png", about, isNoun)).toBeUndefined();
  });
});

describe("emoji", () => {
  const concepts = emojiConcepts([
    { label: "regional indicator B", hexcode: "1F1E7" },
    {
      label: "waving hand",
      hexcode: "1F44B",
      group: 1,
      tags: ["bye", "hello", "Waving hand"],
      skins: [{ hexcode: "1F44B-1F3FB" }],
    },
  ]);

  it("gives variants the label and tags of their concept", () => {
    expect(plainHexcode("0023-FE0F-20E3")).toBe("0023-20e3");
    expect(concepts.has("1f1e7")).toBe(false);
    expect(concepts.get("1f44b-1f3fb")).toMatchObject({ label: "waving hand", toned: true });
    const concept = concepts.get("1f44b");
    expect(concept && emojiTexts(concept)).toEqual({
      texts: ["waving hand", "bye", "hello"],
      weights: [0.7, 0.15, 0.15],
    });
  });
});

describe("captions", () => {
  it("tidies Flickr8k's spacing", () => {
    expect(tidyCaption('A dog , wet , " runs " .')).toBe('A dog, wet, " runs "');
  });

  it("names a product's type and colour in lower case", () => {
    expect(productTexts("Acme Men Blue Tshirt", "Tshirts", "Navy Blue")).toEqual({
      texts: ["Acme Men Blue Tshirt", "t-shirts", "navy blue t-shirts"],
      weights: [0.5, 0.3, 0.2],
    });
    expect(productTexts("Acme Watch", "Watches", "").weights).toEqual([0.625, 0.375]);
  });

  it("takes the English line of a stamp and tells photos by folder", () => {
    expect(stampCaption("A frog.\nde.utf8=Ein Frosch.\n")).toBe("A frog");
    expect(
      ["animals/frog.png", "animals/frog.svg", "animals/cartoon/frog.png", "symbols/a.png"].map(isPhotoStamp),
    ).toEqual([true, false, false, false]);
  });
});
