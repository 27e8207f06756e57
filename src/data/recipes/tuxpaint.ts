import { type FetchedPackage, type PackageReference, packageEntries } from "../../io/packages.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

/** The package of the stamps. */
export const stamps: PackageReference = {
  registry: "debian",
  name: "tuxpaint-stamps-default",
  version: "2022.06.04-1",
  sha256: "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
};
const folder = "usr/share/tuxpaint/stamps/";

/** Below these folders are drawings, signs and letters; elsewhere nearly all PNGs are photo cut-outs, all SVGs drawings. */
const drawings = /(^|\/)(cartoon|clothes|toys|symbols|town|people|seasonal|naturalforces|plastic)\//;

/** Whether a stamp is a photo cut-out, as far as its path tells. */
export function isPhotoStamp(path: string): boolean {
  return path.endsWith(".png") && !drawings.test(path);
}

/** A stamp as the package has it. */
export interface CaptionedStamp {
  readonly key: string; // path below the stamps' folder
  readonly caption: string;
  readonly bytes: Uint8Array; // PNG or SVG
}

/** The package's stamps with their captions, one form of each; `leaveOut` is told why others are passed over. */
export async function* captionedStamps(
  fetched: FetchedPackage,
  photosOnly: boolean,
  leaveOut: (reason: string) => void,
): AsyncGenerator<CaptionedStamp> {
  const captions = new Map<string, string>();
  const isCaption = (path: string): boolean => path.startsWith(folder) && path.endsWith(".txt");
  for await (const { path, bytes } of packageEntries(fetched, isCaption)) {
    captions.set(path.slice(folder.length, -".txt".length), stampCaption(bytes.toString("utf8")));
  }
  // A stamp's mirrored and flipped forms repeat it, and an SVG may stand beside its PNG: one picture a caption file.
  const seen = new Set<string>();
  const isPicture = (path: string): boolean => path.startsWith(folder) && /\.(png|svg)$/.test(path);
  for await (const { path, bytes } of packageEntries(fetched, isPicture)) {
    const key = path.slice(folder.length);
    const name = key.replace(/\.\w+$/, "");
    const caption = captions.get(name);
    if (photosOnly && !isPhotoStamp(key)) {
      leaveOut("drawing");
    } else if (caption === undefined || caption === "") {
      leaveOut(/_(mirror|flip|mirror_flip)$/.test(name) ? "mirrored form" : "no caption");
    } else if (seen.has(name)) {
      leaveOut("second form of a stamp");
    } else {
      seen.add(name);
      yield { key, caption, bytes };
    }
  }
}

async function* samples(photosOnly: boolean, context: RecipeContext): AsyncGenerator<RecipeSample> {
  for await (const { key, caption, bytes } of captionedStamps(context.fetched(stamps), photosOnly, context.leaveOut)) {
    yield { key, texts: [caption], label: caption, decode: (size) => decodeSquare(bytes, size, "pad", key) };
  }
}

/** The English caption of a stamp's text file, which is its first line, without the full stop. */
export function stampCaption(text: string): string {
  const [first] = text.split(/\r?\n/);
  return first.trim().replace(/[.!]$/, "");
}

const shared = {
  role: "evaluation",
  licence: "GPL-2",
  source: "Tux Paint stamps",
  size: 48,
  fit: fitTitles.pad,
  packages: [stamps],
} as const;

/** Photo cut-outs and drawings with a caption each: never trained on. */
export const tuxpaint: Recipe = {
  ...shared,
  name: "tuxpaint",
  summary: "about 950 photo cut-outs and drawings with captions (needs a Debian system)",
  samples: (context) => samples(false, context),
};

/** The photo cut-outs alone. */
export const tuxpaintPhotos: Recipe = {
  ...shared,
  name: "tuxpaint-photos",
  summary: "the photo cut-outs among them, without drawings, signs and letters",
  samples: (context) => samples(true, context),
};
