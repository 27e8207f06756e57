/**
 * `florence/web`: exported models in the browser, with the interface that `loadModel` has in Node.
 */

import "./zod-without-eval.ts"; // first: it must come before the schemas of what follows

export { ShapeError, UserError, type UserErrorCode } from "../core/errors.ts";
export { type RgbImage, rgbImage } from "../core/image.ts";
export type { Prediction } from "../tasks/classification/types.ts";
export type { CallOptions } from "./aborting.ts";
export { type ClassifyOptions, classify } from "./classify.ts";
export type { LoadOptions } from "./exported-folder.ts";
export { decodeImage, type ImageSource } from "./image-decoding.ts";
export { loadDetector, type WebDetection, type WebDetectOptions, type WebDetector } from "./load-detector.ts";
export { loadModel, type WebModel } from "./load-model.ts";
