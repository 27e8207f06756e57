import { createHash } from "node:crypto";
import { type PackageReference, packageEntries, readPackageFile } from "../../io/packages.ts";
import { type ClipArtMetadata, clipArtTexts, type IsNoun, parseClipArtMetadata } from "./clip-art-texts.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";
import { parseWordNetNouns, wordNetPackage } from "./wordnet.ts";

const png: PackageReference = {
  registry: "debian",
  name: "openclipart-png",
  version: "1:0.18+dfsg-19",
  sha256: "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
};
const svg: PackageReference = {
  registry: "debian",
  name: "openclipart-svg",
  version: "1:0.18+dfsg-19",
  sha256: "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
};
const pngFolder = "usr/share/openclipart/png/";
const svgFolder = "usr/share/openclipart/svg/";

/** Folders of geometric shapes, colour gradients and patterns: hundreds of pictures that no words tell apart. */
const skippedFolders = /^(shapes|special)\//;

async function* samples(context: RecipeContext): AsyncGenerator<RecipeSample> {
  const isNoun = nounTest((await readPackageFile(context.fetched(wordNetPackage), "dict/data.noun")).toString("utf8"));
  const metadata = new Map<string, ClipArtMetadata>();
  const isDrawing = (path: string): boolean => path.startsWith(svgFolder) && path.endsWith(".svg");
  for await (const { path, bytes } of packageEntries(context.fetched(svg), isDrawing)) {
    metadata.set(path.slice(svgFolder.length, -".svg".length), parseClipArtMetadata(bytes.toString("utf8")));
  }
  const seen = new Set<string>();
  const isPicture = (path: string): boolean => path.startsWith(pngFolder) && path.endsWith(".png");
  for await (const { path, bytes } of packageEntries(context.fetched(png), isPicture)) {
    const key = path.slice(pngFolder.length);
    const digest = createHash("sha256").update(bytes).digest("base64");
    const about = metadata.get(key.slice(0, -".png".length));
    const texts = about && clipArtTexts(key, about, isNoun);
    if (skippedFolders.test(key)) {
      context.leaveOut("shape or pattern");
    } else if (seen.has(digest)) {
      context.leaveOut("byte duplicate");
    } else if (about?.linksElsewhere) {
      context.leaveOut("linked picture missing");
    } else if (texts === undefined) {
      context.leaveOut("no describing text");
    } else {
      seen.add(digest);
      yield { key, ...texts, decode: (size) => decodeSquare(bytes, size, "trim-pad", key) };
    }
  }
}

function nounTest(dictionary: string): IsNoun {
  const nouns = parseWordNetNouns(dictionary);
  const isKnown = (text: string): boolean => nouns.withWord(text).length > 0;
  return (text) => isKnown(text) || (text.endsWith("s") && (isKnown(text.slice(0, -1)) || isKnown(text.slice(0, -2))));
}

/** Drawings with title and keywords. */
export const openclipart: Recipe = {
  name: "openclipart",
  summary: "about 4,000 drawings with title and keywords (needs a Debian system)",
  role: "training",
  licence: "public domain",
  source: "Open Clip Art Library 0.18",
  size: 48,
  fit: fitTitles["trim-pad"],
  packages: [png, svg, wordNetPackage],
  samples,
};
