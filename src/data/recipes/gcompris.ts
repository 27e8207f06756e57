import { type PackageReference, packageEntries } from "../../io/packages.ts";
import { readQtResources } from "../../io/qt-resources.ts";
import { explainedPictures, firstSentence, nameInWords, titleAsLabel } from "./gcompris-texts.ts";
import { decodeSquare, fitTitles } from "./pictures.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

const data: PackageReference = {
  registry: "debian",
  name: "gcompris-qt-data",
  version: "3.1-2",
  sha256: "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
};
const folder = "usr/share/gcompris-qt/rcc/";

/** Activities whose boards explain each photo. */
const explained = ["explore_farm_animals", "explore_monuments", "explore_world_animals"];
const sorted = "categorization";
/** Folders of the sorting activity with photos that their file names describe; the others hold letters and numbers. */
const sortedFolders = /\/resource\/images\/(tools|fishes|renewable|monuments|others)\/[^/]+\.webp$/;

async function* samples(context: RecipeContext): AsyncGenerator<RecipeSample> {
  const wanted = [...explained, sorted].map((name) => `${folder}${name}.rcc`);
  for await (const { path, bytes } of packageEntries(context.fetched(data), (name) => wanted.includes(name))) {
    const files = readQtResources(bytes, path);
    if (path.endsWith(`/${sorted}.rcc`)) {
      for (const file of files.filter((one) => sortedFolders.test(one.path))) {
        const label = nameInWords(file.path);
        if (label === undefined) context.leaveOut("no describing name");
        else yield sample(file.path, file.bytes, [label], label);
      }
      continue;
    }
    const pictures = new Map(files.filter((one) => one.path.endsWith(".webp")).map((one) => [one.path, one.bytes]));
    const boards = files.filter((one) => /\/board\d+\.qml$/.test(one.path));
    for (const board of boards) {
      for (const { path: picture, title, text } of explainedPictures(new TextDecoder().decode(board.bytes))) {
        const photo = pictures.get(picture);
        if (photo === undefined) context.leaveOut("picture missing");
        else yield sample(picture, photo, [title, firstSentence(text)], titleAsLabel(title));
        pictures.delete(picture); // a later board may show it again
      }
    }
  }
}

function sample(path: string, bytes: Uint8Array, texts: readonly string[], label: string): RecipeSample {
  const key = path.replace(/^\/gcompris\/src\/activities\//, "").replace("/resource/", "/");
  return { key, texts, label, decode: (size) => decodeSquare(bytes, size, "crop", key) };
}

/** Photos of animals, monuments and tools with names, many with a sentence: never trained on. */
export const gcompris: Recipe = {
  name: "gcompris-photos",
  summary: "210 photos of animals, monuments, tools and fishes with names and sentences (needs a Debian system)",
  role: "evaluation",
  licence: "CC0, CC BY, CC BY-SA, public domain, GPL-3+; by file, in the archive's README files",
  source: "GCompris 3.1",
  size: 48,
  fit: fitTitles.crop,
  packages: [data],
  samples,
};
