/** The script of a worker thread that decodes and resizes pictures; it is of no model in particular. */
import type { PreparedImage, RgbImage } from "../core/image.ts";
import {
  type LetterboxConfig,
  type LetterboxedImage,
  letterboxImage,
} from "../data/box-transforms/letterboxed-image.ts";
import { preprocess } from "../data/transforms.ts";
import { decodeImage, decodeInOneThread } from "../io/images.ts";
import { serveCalls } from "../runtime/worker-calls.ts";
import type { ModelConfig } from "./model-config.ts";

type Preprocessing = ModelConfig["preprocessing"];

export type PixelCalls = {
  file: (payload: { path: string; preprocessing: Preprocessing }) => PreparedImage;
  image: (payload: { image: RgbImage; preprocessing: Preprocessing }) => PreparedImage;
  letterboxFile: (payload: { path: string; config: LetterboxConfig; keepsOriginal: boolean }) => LetterboxedImage;
  letterboxImage: (payload: { image: RgbImage; config: LetterboxConfig }) => LetterboxedImage;
};

function prepare(image: RgbImage, preprocessing: Preprocessing): PreparedImage {
  return { side: preprocessing.size, data: preprocess(image, preprocessing) };
}

decodeInOneThread();

serveCalls<PixelCalls>({
  file: async ({ path, preprocessing }) => prepare(await decodeImage(path), preprocessing),
  image: async ({ image, preprocessing }) => prepare(image, preprocessing),
  letterboxFile: async ({ path, config, keepsOriginal }) =>
    letterboxImage(await decodeImage(path), config, keepsOriginal),
  letterboxImage: async ({ image, config }) => letterboxImage(image, config),
});
