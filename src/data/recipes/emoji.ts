import { basename } from "node:path";
import { z } from "zod";
import { hashText } from "../../core/rng.ts";
import { type FetchedPackage, type PackageReference, packageEntries, readPackageFile } from "../../io/packages.ts";
import { parseRow } from "./packed-pictures.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

/** The package with labels, tags and short names of all emoji. */
export const emojiNames: PackageReference = {
  registry: "npm",
  name: "emojibase-data",
  version: "17.0.0",
  sha256: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
};
const google: PackageReference = {
  registry: "npm",
  name: "emoji-datasource-google",
  version: "16.0.0",
  sha256: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
};
const twitter: PackageReference = {
  registry: "npm",
  name: "emoji-datasource-twitter",
  version: "16.0.0",
  sha256: "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
};
/** Emoji rendered in three dimensions, 256 pixels a side, with transparency. */
export const fluent: PackageReference = {
  registry: "npm",
  name: "@lobehub/fluent-emoji-3d",
  version: "1.1.0",
  sha256: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
};

interface EmojiStyle {
  readonly name: string;
  readonly reference: PackageReference;
  readonly pictures: RegExp;
}

const googleStyle = { name: "google", reference: google, pictures: /^img\/google\/64\/.+\.png$/ };
const fluentStyle = { name: "fluent", reference: fluent, pictures: /^assets\/.+\.webp$/ };
const twitterStyle = { name: "twitter", reference: twitter, pictures: /^img\/twitter\/64\/.+\.png$/ };

/** Of a concept's pictures with a skin tone, one in this many is kept, so that hands do not outnumber the rest. */
const toneThinning = 3;

const emojiSchema = z.object({
  label: z.string(),
  hexcode: z.string(),
  group: z.number().optional(),
  tags: z.array(z.string()).optional(),
  skins: z.array(z.object({ hexcode: z.string() })).optional(),
});

/** What an emoji's code point sequence stands for. */
export interface EmojiConcept {
  readonly label: string;
  readonly tags: readonly string[];
  /** Whether this is a variant of the concept with a skin tone. */
  readonly toned: boolean;
}

/** The concepts of `data.json`, by {@link plainHexcode}; variants share label and tags with their concept. */
export function emojiConcepts(emojis: readonly z.infer<typeof emojiSchema>[]): Map<string, EmojiConcept> {
  const concepts = new Map<string, EmojiConcept>();
  for (const { label, hexcode, group, tags = [], skins = [] } of emojis) {
    if (group === undefined) continue; // letters that only flags are made of
    concepts.set(plainHexcode(hexcode), { label, tags, toned: false });
    for (const skin of skins) concepts.set(plainHexcode(skin.hexcode), { label, tags, toned: true });
  }
  return concepts;
}

/** A code point sequence in one spelling: lower case, without the presentation selector that some sets leave out. */
export function plainHexcode(hexcode: string): string {
  return hexcode.toLowerCase().replaceAll("-fe0f", "");
}

/** The texts of a concept: its label most of the time, else one of its tags. */
export function emojiTexts({ label, tags }: EmojiConcept): { texts: string[]; weights: number[] } {
  const others = [...new Set(tags)].filter((tag) => tag.toLowerCase() !== label.toLowerCase());
  if (others.length === 0) return { texts: [label], weights: [1] };
  return { texts: [label, ...others], weights: [0.7, ...others.map(() => Number((0.3 / others.length).toFixed(4)))] };
}

async function readConcepts(fetched: FetchedPackage): Promise<Map<string, EmojiConcept>> {
  const path = "en/data.json";
  const data = (await readPackageFile(fetched, path)).toString("utf8");
  return emojiConcepts(parseRow(data, z.array(emojiSchema), path));
}

/** Every concept by its label and by each of its short names ("grinning_face"), in that order. */
export async function namedEmojis(context: RecipeContext): Promise<[name: string, concept: EmojiConcept][]> {
  const fetched = context.fetched(emojiNames);
  const concepts = await readConcepts(fetched);
  const named: [string, EmojiConcept][] = [];
  for (const concept of concepts.values()) if (!concept.toned) named.push([concept.label, concept]);
  const shortNames = z.record(z.string(), z.union([z.string(), z.array(z.string())]));
  for await (const { path, bytes } of packageEntries(fetched, (p) => /^en\/shortcodes\/\w[\w-]*\.json$/.test(p))) {
    for (const [hexcode, names] of Object.entries(parseRow(bytes.toString("utf8"), shortNames, path))) {
      const concept = concepts.get(plainHexcode(hexcode));
      if (concept && !concept.toned) for (const name of [names].flat()) named.push([name, concept]);
    }
  }
  return named;
}

async function* samples(
  styles: readonly EmojiStyle[],
  keepTones: boolean,
  context: RecipeContext,
): AsyncGenerator<RecipeSample> {
  const concepts = await readConcepts(context.fetched(emojiNames));
  for (const style of styles) {
    for await (const { path, bytes } of packageEntries(context.fetched(style.reference), (p) =>
      style.pictures.test(p),
    )) {
      const hexcode = plainHexcode(basename(path).replace(/\.\w+$/, ""));
      const key = `${style.name}/${hexcode}`;
      const concept = concepts.get(hexcode);
      if (concept === undefined) {
        context.leaveOut("no label");
      } else if (concept.toned && !(keepTones && hashText(key) % toneThinning === 0)) {
        context.leaveOut("skin tone variant");
      } else {
        const decode = (size: number) => decodeSquare(bytes, size, "pad", `${style.name} ${path}`);
        yield { key, ...emojiTexts(concept), label: concept.label, decode };
      }
    }
  }
}

/** Emoji in Google's and Microsoft's styles with label and tags. */
export const emoji: Recipe = {
  name: "emoji",
  summary: "about 5,000 emoji in two styles, with label and tags",
  role: "training",
  licence: "packages MIT; the artwork: Noto Emoji (SIL OFL 1.1 / Apache-2.0), Fluent Emoji (MIT)",
  source: "Noto Emoji and Fluent Emoji pictures, names of emojibase",
  size: 48,
  fit: fitTitles.pad,
  packages: [emojiNames, google, fluent],
  samples: (context) => samples([googleStyle, fluentStyle], true, context),
};

/** Emoji in a style held out of training, without skin tones: which concept is it? */
export const emojiTwitter: Recipe = {
  name: "emoji-twitter",
  summary: "about 1,900 emoji in a style held out of training",
  role: "evaluation",
  licence: "package MIT; the artwork: Twemoji (CC-BY 4.0)",
  source: "Twemoji pictures, names of emojibase",
  size: 48,
  fit: fitTitles.pad,
  packages: [emojiNames, twitter],
  samples: (context) => samples([twitterStyle], false, context),
};
