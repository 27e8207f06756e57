/** The public API. */

export { ShapeError, UserError, type UserErrorCode } from "./core/errors.ts";
export type { RgbImage } from "./core/image.ts";
export { Rng } from "./core/rng.ts";
export type { Tokenizer } from "./data/tokenizers/tokenizer.ts";
export { type PreprocessConfig, preprocess } from "./data/transforms.ts";
export { gradients } from "./graph/gradients.ts";
export { encodeOnnx } from "./graph/onnx-encoding.ts";
export { constant, input, Parameter, Tensor } from "./graph/tensor.ts";
export { decodeImage } from "./io/images.ts";
export { readSafetensors, writeSafetensors } from "./io/safetensors.ts";
export { CoSwin, type CoSwinConfig } from "./models/image-encoder/coswin.ts";
export { coSwinPresets, plainSwin } from "./models/image-encoder/coswin-presets.ts";
export { VisionTransformer, type VisionTransformerConfig } from "./models/image-encoder/vit.ts";
export { ClipTransformer, type ClipTransformerConfig } from "./models/text-encoder/clip-transformer.ts";
export { SentenceEncoder, type SentenceEncoderConfig } from "./models/text-encoder/sentence-encoder.ts";
export { TwoTower, type TwoTowerConfig } from "./models/two-tower.ts";
export { countParameters, initialWeights, namedParameters } from "./nn/module.ts";
export { compile, type Program } from "./runtime/program.ts";
export { ExactIndex } from "./search/exact-index.ts";
export { zeroShotClassifier } from "./tasks/classification/zero-shot-classifier.ts";
export { uniclLoss } from "./tasks/pretrain/unicl-loss.ts";
export { train } from "./training/trainer.ts";
export type { FlorenceModel } from "./zoo/florence-model.ts";
export { loadModel } from "./zoo/load-model.ts";
