import { isHiddenInEncoder } from "../../models/hidden-matrices.ts";
import type { DetectionAugmentation } from "./training-batches.ts";

/** What of a detector stays as it is: nothing, the encoder, or all but the head's three maps. */
export type DetectorFreeze = "none" | "encoder" | "neck";

/** What updates the matrices and kernels within encoder, pyramid and Dynamic Head; all else is AdamW's. */
export type DetectionOptimizer = "adamw" | "muon";

export const detectionOptimizers: readonly DetectionOptimizer[] = ["adamw", "muon"];

/** How a detector is trained: data, not a loop. */
export interface DetectionRecipe {
  readonly seed: number;
  readonly side: number; // of the square that pictures are fitted into, pixels
  readonly batch: number; // pictures an update
  readonly steps: number; // updates
  readonly warmupSteps: number;
  readonly learningRate: number; // peak, of the head
  readonly finalLearningRate: number;
  readonly encoderRateScale: number; // factor on the rate for the encoder
  readonly classifierRateScale: number; // factor on the rate for the map to classes
  readonly optimizer: DetectionOptimizer;
  readonly matrixRateScale: number; // Muon: factor on the rate for the matrices
  readonly weightDecay: number;
  readonly clipNorm: number;
  readonly averageDecay: number | undefined; // of the moving average that is kept; the last weights if undefined
  readonly freeze: DetectorFreeze;
  readonly frozenStages: number; // first stages of the encoder that stay as they are, with the stem
  readonly augmentation: DetectionAugmentation;
  readonly mosaicShare: number; // of the steps, from the first on, that have mosaics
}

/** Augmentation by name. */
export const detectionAugmentations = {
  none: {},
  light: { flip: 0.5, scale: [0.8, 1.25], colour: { brightness: 0.15, contrast: 0.15, saturation: 0.2 } },
  medium: {
    flip: 0.5,
    crop: 0.25,
    scale: [0.6, 1.5],
    mosaic: 0.3,
    colour: { brightness: 0.3, contrast: 0.3, saturation: 0.4 },
  },
} as const satisfies Record<string, DetectionAugmentation>;

export type DetectionAugmentationName = keyof typeof detectionAugmentations;

/** A recipe from what is to differ from the defaults. */
export function detectionRecipe({
  augmentation = "medium",
  ...given
}: Partial<Omit<DetectionRecipe, "augmentation">> & {
  readonly steps: number;
  readonly augmentation?: DetectionAugmentationName | DetectionAugmentation;
}): DetectionRecipe {
  return {
    seed: 0,
    side: 256,
    batch: 8,
    warmupSteps: Math.min(100, Math.ceil(given.steps / 10), Math.max(0, given.steps - 1)),
    learningRate: 1e-3,
    finalLearningRate: 0,
    encoderRateScale: 0.3,
    classifierRateScale: 1,
    optimizer: "adamw",
    matrixRateScale: 20,
    weightDecay: 0.05,
    clipNorm: 10,
    averageDecay: undefined,
    freeze: "none",
    frozenStages: 0,
    mosaicShare: 0.8,
    augmentation: typeof augmentation === "string" ? detectionAugmentations[augmentation] : augmentation,
    ...given,
  };
}

/** Whether a detector's parameter is learnt by a recipe. */
export function isLearntByDetection(name: string, { freeze, frozenStages }: DetectionRecipe): boolean {
  if (freeze === "neck") return name.startsWith("head.");
  if (!name.startsWith("imageEncoder.")) return true;
  if (freeze === "encoder") return false;
  if (frozenStages === 0) return true;
  const stage = /^imageEncoder\.stages\.(\d+)\./.exec(name);
  return stage !== null && Number(stage[1]) >= frozenStages;
}

/** Of what a detector has beside its encoder. */
const hiddenLayers = [
  /^pyramid\.(laterals|outputs|further)\.\d+\.weight$/,
  /^dynamicHead\.blocks\.\d+\.(own|finer|coarser)\.weight$/,
];

/** Matrices and kernels of hidden layers, which Muon updates: not the stem, the deformations, the gates and the head's maps. */
export function isHiddenInDetector(name: string, shape: readonly number[]): boolean {
  if (name.startsWith("imageEncoder.")) return isHiddenInEncoder(name, shape);
  return hiddenLayers.some((layer) => layer.test(name));
}
