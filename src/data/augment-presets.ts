import type { AugmentConfig } from "./augment.ts";

/** Augmentation by name, as recipes of tuning choose it. */
export type AugmentName = "none" | "light" | "medium" | "strong";

export const augmentNames: readonly AugmentName[] = ["none", "light", "medium", "strong"];

/** Up to this side, pictures are shifted rather than cropped: they have no detail to enlarge. */
const smallSide = 64;

/**
 * What a name means for pictures of a size. Light: a flip and a small shift or crop; medium: besides it, mild colour;
 * strong: more of everything, and random erasing.
 *
 * @param flip  whether a mirrored picture still shows the same thing, unlike digits and writing
 */
export function augmentPreset(name: AugmentName, imageSize: number, flip: boolean): AugmentConfig {
  if (name === "none") return {};
  const isSmall = imageSize <= smallSide;
  const mirror = flip ? { flip: 0.5 } : {};
  const shift = { shift: Math.max(1, Math.round(imageSize / 8)) };
  switch (name) {
    case "light":
      return { ...mirror, ...(isSmall ? shift : { crop: { scale: [0.7, 1] } }) };
    case "medium":
      return {
        ...mirror,
        ...(isSmall ? { ...shift, crop: { scale: [0.7, 1] } } : { crop: { scale: [0.4, 1] } }),
        brightness: 0.2,
        contrast: 0.2,
        saturation: 0.2,
      };
    case "strong":
      return {
        ...mirror,
        ...(isSmall ? { ...shift, crop: { scale: [0.5, 1] } } : { crop: { scale: [0.2, 1] } }),
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        greyscale: 0.1,
        erase: { probability: 0.25, area: [0.02, 0.2] },
      };
  }
}
