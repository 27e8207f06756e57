import type { RgbImage } from "../../src/core/image.ts";
import type { ExportedDetector } from "../../src/models/exported-detector.ts";
import type { ExportedModel } from "../../src/models/exported-model.ts";

const about = { name: "fake", fingerprint: "0", precision: "float32" } as const;

const model: ExportedModel = {
  ...{ ...about, format: "florence-export/1", embedding: 4, logitScale: 10 },
  image: { file: "image.onnx", size: 4, resize: "squash", filter: "bilinear" },
  text: {
    ...{ file: "text.onnx", length: "dynamic", padId: 0 },
    tokenizer: { kind: "wordpiece", vocabulary: "vocab.txt", contextLength: 8 },
  },
};

const detector: ExportedDetector = {
  ...{ ...about, format: "florence-detector-export/1", file: "detector.onnx" },
  canvas: { width: 4, height: 4, filter: "bilinear", grey: 114, align: "centre" },
  classes: { kind: "fixed", names: ["fish"] },
};

/** The files of an exported model for {@link serveFiles}; sessions are fakes, so that weights need no content. */
export function modelFiles(): Record<string, string> {
  const vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog"].join("\n");
  return { "preprocessing.json": JSON.stringify(model), "image.onnx": "", "text.onnx": "", "vocab.txt": vocabulary };
}

/** Likewise of a detector. */
export function detectorFiles(): Record<string, string> {
  return { "preprocessing.json": JSON.stringify(detector), "detector.onnx": "" };
}

/** Grey pictures that need no decoder. */
export function greyPictures(count: number): RgbImage[] {
  return Array.from({ length: count }, () => ({ width: 4, height: 4, data: new Uint8Array(48).fill(128) }));
}
