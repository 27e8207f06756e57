import { UserError } from "../../core/errors.ts";
import type { Synset, WordNetNouns } from "./wordnet.ts";

/** What a picture of a class may be called: the texts and the chance of each to be drawn (they sum to 1). */
export interface ClassTexts {
  readonly texts: string[];
  readonly weights: number[];
}

/** The share of the draws that a class's own names get when it has words above it; its first name gets most of that. */
const ownShare = 0.6;
const firstNameShare = 0.6;
/** Each word further up the chain is drawn this much less often than the one before. */
const decay = 0.75;
/** More words than this above a class only blur it. */
const maximumHypernyms = 8;

/**
 * Meanings (by their first word) too abstract, too technical or too ambiguous to describe a picture. A chain skips them
 * and goes on above.
 */
const skippedMeanings: ReadonlySet<string> = new Set(
  `abstraction, anseriform bird, anthozoan, anuran, aquatic vertebrate, armament, article, artifact, attachment, audio system,
  baked goods, barrier, beating-reed instrument, bony fish, bovid, bovine, brace, breathing device, building material, canopy, catarrhine, cavy, chordate, coelenterate, commodity, connection, constrictor, consumer goods, container,
  conveyance, course, covering, craft, creation, crocodilian reptile, cruciferous vegetable, cyprinid,
  cypriniform fish, danaid, data input device, decapod crustacean, device, diapsid, dictyopterous insect, dip,
  dipterous insect, domestic animal, double-reed instrument, durables, echinoderm, entity, equipment, establishment,
  even-toed ungulate, fastener, flavorer, fluid, foodstuff, free weight, fruit, furnishing, gallinaceous bird, gown,
  hymenopterous insect, implement, ingredient, instrument, instrumentality, invertebrate, lifting device, ligament,
  light, liquid, living thing, loaf of bread, malacopterygian, matter, mechanical device, mechanism, medium,
  mercantile establishment, metatherian, movable barrier, natural elevation, natural object, nutriment, object,
  obstruction, odonate, organism, orthopterous insect, overgarment, pachyderm, part, peripheral, phalanger, phasmid,
  physical entity, place of business, placental, plant organ, plant part, pongid, press, print media, procyonid,
  product, proboscidean, protective covering, reef, relation, reproducer, reproductive structure, reservoir,
  restraint, ridge, sea boat, self-propelled vehicle, sheet, shelter, simple machine, soft-finned fish, solanaceous
  vegetable, solid, source of illumination, sphenisciform seabird, staff, starches, stereo, stick, stony coral,
  sporting dog, strengthener, structural member, structure, substance, support, swine, system, teleost fish, timer, trap, upright,
  vertebrate, ware, web, weight, wheeled vehicle, white goods, whole, winder, woodenware, work, plant, natural phenomenon`
    .split(",")
    .map((word) => word.trim().replaceAll(/\s+/g, " ")),
);

/** The everyday words of a meaning, where they are not just its first word. */
const everydayWords: Readonly<Record<string, readonly string[]>> = {
  "anthropoid ape": ["ape"],
  beverage: ["drink", "beverage"],
  citrus: ["citrus fruit"],
  dwelling: ["house", "home"],
  "edible fruit": ["fruit"],
  "home appliance": ["household appliance"],
  memorial: ["monument"],
  plaything: ["toy"],
  shop: ["shop", "store"],
  signboard: ["sign"],
  spectacles: ["glasses", "eyeglasses"],
  telephone: ["telephone", "phone"],
  ungulate: ["hoofed mammal"],
  weaponry: ["weapon"],
};

/** Words at the level people name things first (Rosch's basic level) are drawn twice as often as their place says. */
const basicLevel: ReadonlySet<string> = new Set(
  `ape, automobile, bag, ball, bear, beetle, bird, boat, bottle, box, bread, bridge, building, bus, butterfly, camel,
  car, cat, chair, clothing, coat, cow, dog, elephant, fence, fish, food, frog, fruit, furniture, glasses, gun, hat,
  house, insect, lamp, lobster, machine, monkey, mountain, pan, penguin, phone, potato, ship, shoe, shop, sign, snake,
  spider, spoon, sweater, table, tool, tower, toy, train, truck, vegetable, wheel`
    .split(",")
    .map((word) => word.trim()),
);

/** The texts of a class, from its own names and the words of the meanings above it in WordNet. */
export function classTexts(nouns: WordNetNouns, names: readonly string[], meaning: Synset): ClassTexts {
  const own = unique(names.filter((name, index) => index === 0 || !isScientificName(nouns, name)));
  const above = hypernymWords(nouns, meaning)
    .filter((word) => !own.some((name) => name.toLowerCase() === word.toLowerCase()))
    .slice(0, maximumHypernyms);
  const share = above.length === 0 ? 1 : ownShare;
  const ownWeights =
    own.length === 1
      ? [share]
      : own.map((_, i) => share * (i === 0 ? firstNameShare : (1 - firstNameShare) / (own.length - 1)));
  const aboveWeights = above.map((word, i) => decay ** i * (basicLevel.has(word) ? 2 : 1));
  const total = aboveWeights.reduce((sum, weight) => sum + weight, 0);
  const weights = [...ownWeights, ...aboveWeights.map((weight) => ((1 - share) * weight) / total)];
  return { texts: [...own, ...above], weights: weights.map((weight) => Number(weight.toFixed(4))) };
}

/** The words above a meaning that could caption a picture of it, nearest first. */
export function hypernymWords(nouns: WordNetNouns, meaning: Synset): string[] {
  const words = nouns.ancestors(meaning).flatMap(({ synset }) => {
    const [first] = synset.words;
    if (skippedMeanings.has(first)) return [];
    return wordsOf(synset);
  });
  return unique(words);
}

function wordsOf(synset: Synset): readonly string[] {
  const [first] = synset.words;
  // First words that several meanings share: the rest of the words tells which one this is.
  if (first === "car") return synset.words.includes("automobile") ? ["car", "automobile"] : ["railway car"];
  if (first === "vessel") return synset.words.includes("watercraft") ? ["vessel", "watercraft"] : ["container"];
  if (first === "food" && synset.words.includes("nutrient")) return []; // any nourishing substance, drinks too
  return everydayWords[first] ?? [first];
}

/**
 * Finds a class's meaning by its names, or by `offset` where the words alone do not tell it from others.
 * @throws UserError `mismatch` when no meaning has enough of the names.
 */
export function findMeaning(nouns: WordNetNouns, names: readonly string[], offset: string | undefined): Synset {
  const found = offset === undefined ? undefined : nouns.get(offset);
  if (offset !== undefined && !found?.words.some((word) => names.includes(word))) {
    throw new UserError("mismatch", `WordNet: ${offset} must be a meaning of "${names[0]}". Use WordNet 3.1.`);
  }
  const meaning = found ?? nouns.matches(names).find(({ score }) => score >= 0.5)?.synset;
  if (meaning === undefined) throw new UserError("mismatch", `WordNet: no meaning of "${names.join(", ")}" found.`);
  return meaning;
}

/** Whether a name is a Latin one such as "Canis lupus": a capital, then a last word that WordNet has no noun for. */
function isScientificName(nouns: WordNetNouns, name: string): boolean {
  const parts = name.split(" ");
  const last = parts[parts.length - 1];
  if (parts.length < 2 || !/^[A-Z]/.test(name)) return false;
  if (parts[0].toLowerCase() === last) return true; // "Boa boa"
  return !nouns
    .withWord(last)
    .some((synset) => synset.words.some((word) => word.toLowerCase() === last.toLowerCase() && word[0] === last[0]));
}

function unique(words: readonly string[]): string[] {
  const seen = new Set<string>();
  return words.filter((word) => {
    const key = word.toLowerCase();
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
