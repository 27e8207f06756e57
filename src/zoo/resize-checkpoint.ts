import { UserError } from "../core/errors.ts";
import type { ImageEncoderConfig } from "../models/image-encoder/image-encoder.ts";
import { type PositionResampling, resizePositionEmbedding } from "../models/image-encoder/position-embedding.ts";
import { resizeWeights } from "../models/resize-weights.ts";
import { TwoTower } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import type { Checkpoint } from "./checkpoint.ts";

const largest = 4096; // pixels on a side: beyond it attention over the patches takes more memory than there is

/**
 * A checkpoint for pictures of another size: position embeddings interpolated as the family's own library does (a table of
 * relative positions only where a window changes), the preprocessing scaled, all else as it is.
 *
 * @param imageSize  side of the square that the encoder takes, pixels; the checkpoint itself is returned without it
 * @throws UserError `bad-argument` for a size that leaves no patch, or is beyond all use
 */
export function resizeCheckpoint(checkpoint: Checkpoint, imageSize: number | undefined): Checkpoint {
  const { architecture, preprocessing, weights } = checkpoint;
  if (imageSize === undefined || imageSize === architecture.image.imageSize) return checkpoint;
  const smallest = smallestSide(architecture.image);
  if (!Number.isInteger(imageSize) || imageSize < smallest || imageSize > largest) {
    const rule = `imageSize must be a whole number from ${smallest} to ${largest}`;
    throw new UserError("bad-argument", `${checkpoint.name}: ${rule}, got ${imageSize}.`);
  }
  const resized = { ...architecture, image: { ...architecture.image, imageSize } };
  const { size, resizeTo } = preprocessing;
  return {
    ...checkpoint,
    architecture: resized,
    preprocessing: {
      ...preprocessing,
      size: imageSize,
      ...(resizeTo && { resizeTo: Math.trunc((resizeTo / size) * imageSize) }),
    },
    weights:
      architecture.image.kind === "coswin"
        ? resizeWeights(new TwoTower(resized), weights) // maps that are no whole windows are padded
        : resizedPositions(weights, architecture.image, imageSize, checkpoint.positionResampling),
  };
}

/** The side that leaves an encoder one patch, or one token in its last stage. */
function smallestSide(image: ImageEncoderConfig): number {
  return image.kind === "coswin" ? image.stemStride * 2 ** (image.depths.length - 1) : image.patch;
}

const tableName = "imageEncoder.positionEmbedding";

function resizedPositions(
  weights: Weights,
  { kind, imageSize, patch, width }: Exclude<ImageEncoderConfig, { kind: "coswin" }>,
  newSize: number,
  resampling: PositionResampling = kind === "vit" ? "antialiased" : "plain",
): Weights {
  const [side, newSide] = [imageSize, newSize].map((size) => Math.floor(size / patch));
  if (side === newSide) return weights;
  const table = weights.get(tableName) as Float32Array;
  const ahead = table.subarray(0, table.length - side * side * width); // of a class token, which has no place
  const positions = resizePositionEmbedding(table.subarray(ahead.length), width, newSide, resampling);
  const resized = new Float32Array(ahead.length + positions.length);
  resized.set(ahead);
  resized.set(positions, ahead.length);
  return new Map([...weights, [tableName, resized]]);
}
