import { z } from "zod";
import { type FetchedPackage, type PackageReference, readPackageFile } from "../../io/packages.ts";
import { type EmojiConcept, emojiNames, emojiTexts, namedEmojis } from "./emoji.ts";
import { parseRow } from "./packed-pictures.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

/** Icon sets that draw emoji, in the file format of Iconify: SVG bodies by name. */
const iconSets: readonly PackageReference[] = [
  {
    registry: "npm",
    name: "@iconify-json/noto-v1",
    version: "1.2.5",
    sha256: "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
  },
  {
    registry: "npm",
    name: "@iconify-json/fluent-emoji-flat",
    version: "1.2.6",
    sha256: "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
  },
  {
    registry: "npm",
    name: "@iconify-json/openmoji",
    version: "1.2.29",
    sha256: "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
  },
  {
    registry: "npm",
    name: "@iconify-json/emojione",
    version: "1.2.3",
    sha256: "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
  },
  {
    registry: "npm",
    name: "@iconify-json/emojione-v1",
    version: "1.2.3",
    sha256: "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
  },
  {
    registry: "npm",
    name: "@iconify-json/fxemoji",
    version: "1.2.2",
    sha256: "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
  },
];

const iconSetSchema = z.object({
  prefix: z.string(),
  icons: z.record(
    z.string(),
    z.object({ body: z.string(), width: z.number().optional(), height: z.number().optional() }),
  ),
  aliases: z.record(z.string(), z.looseObject({ parent: z.string() })).optional(),
  width: z.number().default(16),
  height: z.number().default(16),
});

type IconSet = z.infer<typeof iconSetSchema>;

/** Side in pixels at which a drawing states to be drawn: well above any size it is scaled down to. */
const drawnSide = 256;

/** A name in one spelling: letters and digits alone, "A button (blood type)" like `a-button-blood-type`. */
export function plainName(name: string): string {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}

/** The concept of each icon of a set that has one, found by its name or an alias that draws it unchanged. */
export function iconConcepts(set: IconSet, concepts: ReadonlyMap<string, EmojiConcept>): Map<string, EmojiConcept> {
  const found = new Map<string, EmojiConcept>();
  const add = (icon: string, name: string): void => {
    const concept = concepts.get(plainName(name));
    if (concept && !found.has(icon)) found.set(icon, concept);
  };
  for (const icon of Object.keys(set.icons)) add(icon, icon);
  for (const [name, { parent, ...changes }] of Object.entries(set.aliases ?? {})) {
    if (Object.keys(changes).length === 0 && parent in set.icons) add(parent, name); // else mirrored or turned
  }
  return found;
}

function drawing(set: IconSet, icon: string): Uint8Array {
  const { body, width = set.width, height = set.height } = set.icons[icon];
  const size = `width="${drawnSide}" height="${drawnSide}" viewBox="0 0 ${width} ${height}"`;
  const links = `xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"`;
  return new TextEncoder().encode(`<svg ${links} ${size}>${body}</svg>`);
}

async function readIconSet(fetched: FetchedPackage): Promise<IconSet> {
  return parseRow((await readPackageFile(fetched, "icons.json")).toString("utf8"), iconSetSchema, "icons.json");
}

async function* samples(context: RecipeContext): AsyncGenerator<RecipeSample> {
  const concepts = new Map<string, EmojiConcept>();
  for (const [name, concept] of await namedEmojis(context)) {
    if (!concepts.has(plainName(name))) concepts.set(plainName(name), concept);
  }
  for (const reference of iconSets) {
    const set = await readIconSet(context.fetched(reference));
    const known = iconConcepts(set, concepts);
    for (const icon of Object.keys(set.icons)) {
      const concept = known.get(icon);
      if (concept === undefined) {
        context.leaveOut("no label");
        continue;
      }
      const key = `${set.prefix}/${icon}`;
      const decode = (size: number) => decodeSquare(drawing(set, icon), size, "pad", key);
      yield { key, ...emojiTexts(concept), label: concept.label, decode };
    }
  }
}

/** Emoji in six more styles, of packages that hold drawings by name, without skin tones. */
export const emojiIcons: Recipe = {
  name: "emoji-icons",
  summary: "about 7,300 emoji in six more styles, with label and tags",
  role: "training",
  licence:
    "Noto Emoji v1 (Apache-2.0), Fluent Emoji Flat (MIT), OpenMoji (CC BY-SA 4.0), EmojiOne 2 (CC BY 4.0), EmojiOne 1 (CC BY-SA 4.0), Firefox OS Emoji (Apache-2.0); names of emojibase (MIT)",
  source: "Iconify's copies of six emoji sets, names of emojibase",
  size: 48,
  fit: fitTitles.pad,
  packages: [emojiNames, ...iconSets],
  samples,
};
