import { gunzipSync } from "node:zlib";
import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { type PackageReference, readPackageFile } from "../../io/packages.ts";
import { fashionClasses, idxSizes } from "../labelled/idx-format.ts";
import type { Recipe, RecipeContext, RecipeSample } from "./recipe.ts";

const data: PackageReference = {
  registry: "debian",
  name: "dataset-fashion-mnist",
  version: "0.0~git20200523.55506a9-1",
  sha256: "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
};
const folder = "usr/share/datasets/fashion-mnist/";

async function* samples(stem: "train" | "t10k", context: RecipeContext): AsyncGenerator<RecipeSample> {
  const read = async (name: string): Promise<Buffer> =>
    gunzipSync(await readPackageFile(context.fetched(data), `${folder}${stem}-${name}.gz`));
  const [images, labels] = [await read("images-idx3-ubyte"), await read("labels-idx1-ubyte")];
  const pixels = idxSizes(`${stem}-images`, images, images.length, 3);
  const classes = idxSizes(`${stem}-labels`, labels, labels.length, 1);
  const [count, height, width] = pixels.sizes;
  if (classes.sizes[0] !== count) {
    throw new UserError("mismatch", `${stem}-labels: must be ${count} as the images, got ${classes.sizes[0]}.`);
  }
  for (let i = 0; i < count; i++) {
    const start = pixels.start + i * width * height;
    const grey = images.subarray(start, start + width * height);
    const label = fashionClasses[labels[classes.start + i]];
    yield { key: `${stem}/${i}`, texts: [label], label, decode: (size) => toSquare(grey, width, height, size) };
  }
}

async function toSquare(grey: Uint8Array, width: number, height: number, size: number): Promise<RgbImage> {
  const scaled = await sharp(grey, { raw: { width, height, channels: 1 } })
    .resize(size, size, { fit: "fill", kernel: "cubic" })
    .toColourspace("srgb")
    .raw()
    .toBuffer();
  return rgbImage(size, size, scaled);
}

const shared = {
  role: "evaluation",
  licence: "MIT",
  source: "Fashion-MNIST (Xiao et al., arXiv:1708.07747)",
  size: 28,
  fit: "square already",
  packages: [data],
} as const;

/** Fashion-MNIST's 60,000 training pictures: for probes and fine-tuning, never for pretraining. */
export const fashionMnistTrain: Recipe = {
  ...shared,
  name: "fashion-mnist-train",
  summary: "60,000 grey product pictures of 10 classes, for probes only (needs a Debian system)",
  samples: (context) => samples("train", context),
};

/** Fashion-MNIST's 10,000 test pictures. */
export const fashionMnistTest: Recipe = {
  ...shared,
  name: "fashion-mnist-test",
  summary: "10,000 grey product pictures of 10 classes (needs a Debian system)",
  samples: (context) => samples("t10k", context),
};
