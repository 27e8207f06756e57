import type { DetectionClasses } from "../../src/models/detection/atss-head.ts";
import { Detector } from "../../src/models/detection/detector.ts";

/** A detector of three encoder stages at strides 2, 4 and 8 and three levels at 4, 8 and 16, for tests. */
export function tinyDetector(imageSize: number, classes: DetectionClasses): Detector {
  return new Detector({
    image: {
      kind: "coswin",
      imageSize,
      width: 16,
      depths: [1, 1, 1],
      convolutionStages: 2,
      headWidth: 16,
      window: 8,
      mlpRatio: 2,
      activation: "squared-relu",
      embedding: "convolution",
      stemKernel: 7,
      stemStride: 2,
      dropPath: 0,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    },
    strides: [4, 8, 16],
    width: 32,
    blocks: 1,
    groups: 8,
    classes,
  });
}
