import type { CoSwinConfig } from "./coswin.ts";

const imageNet = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
} as const;

const paper = {
  kind: "coswin",
  imageSize: 224,
  headWidth: 32,
  window: 7,
  mlpRatio: 4,
  activation: "gelu",
  embedding: "convolution",
  stemKernel: 7,
  stemStride: 4,
  ...imageNet,
} as const;

/** Sizes after Swin's T to L; H is inferred from the 637 M parameters that the Florence paper states. */
export const coSwinPresets = {
  nano: { ...paper, imageSize: 32, width: 128, depths: [3, 3], window: 16, dropPath: 0 },
  T: { ...paper, width: 96, depths: [2, 2, 6, 2], dropPath: 0.2 },
  S: { ...paper, width: 96, depths: [2, 2, 18, 2], dropPath: 0.3 },
  B: { ...paper, width: 128, depths: [2, 2, 18, 2], dropPath: 0.5 },
  L: { ...paper, width: 192, depths: [2, 2, 18, 2], dropPath: 0.5 },
  H: { ...paper, width: 256, depths: [2, 2, 40, 2], dropPath: 0.5 },
} as const satisfies Record<string, CoSwinConfig>;

/** The plain Swin transformer of the same size. */
export function plainSwin(config: CoSwinConfig): CoSwinConfig {
  return { ...config, embedding: "patch" };
}
