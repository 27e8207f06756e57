import { describe, expect, it } from "vitest";
import { classTexts, findMeaning, hypernymWords } from "./class-texts.ts";
import { parseWordNetNouns } from "./wordnet.ts";

// Made-up offsets, the structure and words of WordNet: offset, file, type, words (hexadecimal count), pointers.
const text = `  1 a licence line
00000001 03 n 01 entity 0 000 | that which is
00000002 05 n 06 animal 0 animate_being 0 beast 0 brute 0 creature 0 fauna 0 001 @ 00000001 n 0000 | a living organism
00000003 05 n 02 mammal 0 mammalian 0 001 @ 00000002 n 0000 | warm-blooded
00000004 05 n 02 carnivore 0 flesh-eater 0 001 @ 00000003 n 0000 | eats meat
00000005 05 n 02 cat 0 true_cat 0 001 @ 00000004 n 0000 | feline
00000006 05 n 02 domestic_animal 0 domesticated_animal 0 001 @ 00000002 n 0000 | kept by people
00000007 05 n 02 domestic_cat 0 house_cat 0 002 @ 00000005 n 0000 @ 00000006 n 0000 | any domesticated cat
00000008 05 n 01 Egyptian_cat 0 001 @ 00000007 n 0000 | from Egypt
00000009 06 n 01 crane 0 001 @ 00000001 n 0000 | lifts heavy objects
00000010 05 n 01 crane 0 001 @ 00000002 n 0000 | a bird
00000011 06 n 03 car 0 auto 0 automobile 0 001 @ 00000001 n 0000 | four wheels
00000012 05 n 03 lion 0 king_of_beasts 0 Panthera_leo 0 001 @ 00000005 n 0000 | big cat
00000013 06 n 02 convertible 0 open_car 0 001 @ 00000011 n 0000 | folding top`;
const nouns = parseWordNetNouns(text);

describe("parseWordNetNouns", () => {
  it("reads words, hypernyms and definitions", () => {
    expect(nouns.get("00000007")).toEqual({
      offset: "00000007",
      words: ["domestic cat", "house cat"],
      hypernyms: ["00000005", "00000006"],
      gloss: "any domesticated cat",
    });
    expect(nouns.withWord("Domestic_Cat").map(({ offset }) => offset)).toEqual(["00000007"]);
  });

  it("orders ancestors by the longest path, each once", () => {
    const distances = nouns.ancestors(findMeaning(nouns, ["Egyptian cat"], undefined));
    expect(distances.map(({ synset, distance }) => [synset.words[0], distance])).toEqual([
      ["domestic cat", 1],
      ["cat", 2],
      ["domestic animal", 2],
      ["carnivore", 3],
      ["mammal", 4],
      ["animal", 5],
      ["entity", 6],
    ]);
  });

  it("rejects a file of another format", () => {
    expect(() => parseWordNetNouns("not a synset")).toThrow(/every line must be a synset/);
    expect(() => parseWordNetNouns("  only a licence\n")).toThrow(/no noun/);
  });
});

describe("classTexts", () => {
  it("puts the class's name first and skips abstract words", () => {
    const { texts, weights } = classTexts(nouns, ["Egyptian cat"], findMeaning(nouns, ["Egyptian cat"], undefined));
    expect(texts).toEqual(["Egyptian cat", "domestic cat", "cat", "carnivore", "mammal", "animal"]);
    expect(weights[0]).toBe(0.6);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 3);
    expect(weights[3]).toBeGreaterThan(weights[4]); // nearer words are drawn more often
    expect(weights[2]).toBeGreaterThan(weights[1]); // but for the words people name things with
  });

  it("drops scientific names and shares the weight of synonyms", () => {
    const names = ["lion", "king of beasts", "Panthera leo"];
    const { texts, weights } = classTexts(nouns, names, findMeaning(nouns, names, undefined));
    expect(texts.slice(0, 3)).toEqual(["lion", "king of beasts", "cat"]);
    expect(weights[0]).toBeCloseTo(0.36);
    expect(weights[1]).toBeCloseTo(0.24);
  });

  it("calls a car an automobile, too", () => {
    expect(hypernymWords(nouns, findMeaning(nouns, ["convertible"], undefined))).toEqual(["car", "automobile"]);
  });

  it("finds a meaning by offset where names are ambiguous, and checks it", () => {
    expect(findMeaning(nouns, ["crane"], undefined).gloss).toBe("lifts heavy objects");
    expect(findMeaning(nouns, ["crane"], "00000010").gloss).toBe("a bird");
    expect(() => findMeaning(nouns, ["crane"], "00000008")).toThrow(/must be a meaning of "crane"/);
    expect(() => findMeaning(nouns, ["zeppelin"], undefined)).toThrow(/no meaning/);
  });
});
