import { basename } from "node:path";
import { toErrorRecord } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import type { Rng } from "../../core/rng.ts";
import { walkImageFiles } from "../../io/file-walk.ts";
import { decodeImage } from "../../io/images.ts";
import { type FetchedPackage, type PackageReference, packageEntries } from "../../io/packages.ts";
import { flipHorizontally } from "../box-transforms/augment-boxes.ts";
import { resize } from "../resize.ts";

/** Photographs of places, which come with Scratch as stages. */
export const scratchBackgrounds: PackageReference = {
  registry: "debian",
  name: "scratch",
  version: "1.4.0.6~dfsg1-6.1",
  sha256: "36c582eb93110f64f06c4e685c41e933ccba2fa68db12f79b10bfe840b21fc10",
};
export const scratchLicence = "CC BY-SA 3.0 (Massachusetts Institute of Technology)";

/** Its JPEGs are photographs, its GIFs drawings; on murals and in stadiums there are figures that nothing labels. */
const isPhoto = (path: string): boolean =>
  /^usr\/share\/scratch\/Media\/Backgrounds\/\w+\/[^/]+\.jpg$/.test(path) &&
  !/mural|graffiti|football-field|baseball-field/.test(path);

/** A picture to paste on, decoded. */
export interface Background {
  readonly key: string;
  readonly image: RgbImage;
}

/** Scratch's photographs. */
export async function* packagedBackgrounds(fetched: FetchedPackage): AsyncGenerator<Background> {
  for await (const { path, bytes } of packageEntries(fetched, isPhoto)) {
    yield { key: `scratch/${basename(path)}`, image: await decodeImage(bytes, { name: path }) };
  }
}

/** The pictures of a folder, no larger than `longest` pixels a side; those that do not decode are told of. */
export async function* folderBackgrounds(
  folder: string,
  longest: number,
  onFailure: (path: string, message: string) => void,
): AsyncGenerator<Background> {
  for await (const found of walkImageFiles([folder])) {
    try {
      if ("error" in found) throw found.error;
      const image = await decodeImage(found.path);
      const scale = Math.min(1, longest / Math.max(image.width, image.height));
      const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
      yield { key: basename(found.path), image: resize(image, width, height, "bilinear") };
    } catch (error) {
      onFailure(found.path, toErrorRecord(error).message);
    }
  }
}

const tries = 4;

/**
 * A square part of a picture, 0.45 to 1 of its shorter side, mirrored at times: of a few drawn at random the one with
 * the faintest edges, which is the least likely to show an object that nobody has labelled.
 */
export function calmPart(image: RgbImage, side: number, rng: Rng): RgbImage {
  let best: { readonly part: RgbImage; readonly unrest: number } | undefined;
  for (let attempt = 0; attempt < tries; attempt++) {
    const length = Math.min(image.width, image.height) * rng.uniform(0.45, 1);
    const [left, top] = [rng.uniform() * (image.width - length), rng.uniform() * (image.height - length)];
    const box = [left, top, Math.min(image.width, left + length), Math.min(image.height, top + length)] as const;
    const unrest = edgeStrength(resize(image, 32, 32, "bilinear", { box })) * rng.uniform(0.5, 1);
    if (best && best.unrest <= unrest) continue;
    best = { part: resize(image, side, side, "bilinear", { box }), unrest };
  }
  const { part } = best as { part: RgbImage };
  return rng.uniform() < 0.5 ? part : flipHorizontally({ image: part, boxes: [] }).image;
}

/** Mean difference of neighbouring values. */
function edgeStrength({ width, height, data }: RgbImage): number {
  let sum = 0;
  for (let i = 3; i < data.length; i++) {
    sum += i % (3 * width) < 3 ? 0 : Math.abs(data[i] - data[i - 3]);
    if (i >= 3 * width) sum += Math.abs(data[i] - data[i - 3 * width]);
  }
  return sum / (width * height);
}
