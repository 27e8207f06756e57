import { createHash } from "node:crypto";
import { UserError } from "../../src/core/errors.ts";
import type { RgbImage } from "../../src/core/image.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";

const colors: Readonly<Record<string, readonly number[]>> = {
  red: [1, 0, 0],
  green: [0, 1, 0],
  blue: [0, 0, 1],
  yellow: [1, 1, 0],
  white: [1, 1, 1],
};

/** What the toy was asked to do, for tests that count the work. */
export interface ToyLog {
  imageBatches: number[];
  texts: string[];
  disposed: number;
}

/**
 * A model that sees nothing but the mean colour of a picture, and understands nothing but five colour words. Enough to
 * tell right results from wrong ones without weights. It refuses pictures of 7 × 7 pixels, as a real one might.
 */
export function toyModel(options: { fingerprint?: string; delayMs?: number; log?: ToyLog } = {}): FlorenceModel {
  const { fingerprint = "toy", delayMs = 0, log } = options;
  return {
    name: "toy",
    fingerprint: createHash("sha256").update(fingerprint).digest("hex"),
    embedDim: 8,
    featureDim: 3,
    logitScale: 50,
    scoring: { kind: "softmax" },
    async embedImages(images) {
      log?.imageBatches.push(images.length);
      if (images.some(({ width, height }) => width === 7 && height === 7)) {
        throw new UserError("unsupported", "toy model: pictures must not be 7×7 pixels. Take another.");
      }
      await new Promise((resolve) => setTimeout(resolve, delayMs * images.length));
      return images.map((image) => unitVector(meanColor(image)));
    },
    async imageFeatures(images) {
      return images.map((image) => Float32Array.from(meanColor(image)));
    },
    async embedTexts(texts) {
      log?.texts.push(...texts);
      return texts.map((text) => {
        const words = text.toLowerCase().match(/[a-z]+/g) ?? [];
        const known = words.flatMap((word) => (colors[word] ? [colors[word]] : []));
        const sum = [0, 1, 2].map((channel) => known.reduce((total, color) => total + color[channel], 0));
        return unitVector(known.length > 0 ? sum : [0, 0, 0, 1]);
      });
    },
    async dispose() {
      if (log) log.disposed++;
    },
  };
}

function meanColor({ data }: RgbImage): number[] {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i++) sums[i % 3] += data[i];
  return sums.map((sum) => (3 * sum) / data.length / 255);
}

function unitVector(numbers: readonly number[]): Float32Array {
  const norm = Math.hypot(...numbers) || 1;
  return Float32Array.from({ length: 8 }, (_, i) => (numbers[i] ?? 0) / norm);
}
