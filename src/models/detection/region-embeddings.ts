import { ShapeError } from "../../core/errors.ts";
import { reshape } from "../../graph/broadcasting.ts";
import { type DynamicAxis, type DynamicGraph, withDynamicAxes } from "../../graph/dynamic-axes.ts";
import { mean } from "../../graph/reductions.ts";
import { regionAlign } from "../../graph/region-pooling.ts";
import { normalizeL2 } from "../../graph/softmax.ts";
import { input, type Tensor } from "../../graph/tensor.ts";
import type { Linear } from "../../nn/linear.ts";
import { TokenMap } from "../../nn/token-map.ts";
import type { CoSwin } from "../image-encoder/coswin.ts";

/** Any number of boxes. */
const regionsAxis: DynamicAxis = { name: "regions", probes: [5, 7, 11], input: "boxes", axis: 1 };

/** The image half of a two-tower model whose encoder gives maps. */
export interface RegionEmbedder {
  readonly imageEncoder: CoSwin;
  readonly imageProjection: Linear | undefined;
}

/**
 * Embeddings of boxes in the space of a two-tower model, from one pass over the whole picture: where the model averages
 * its last tokens, here those under the box are, then its own norm and projection go on as ever. Cheaper than encoding a
 * crop of each box, and less sharp: a token has seen its surroundings too. RegionCLIP (arXiv:2112.09106) pools so.
 *
 * @param level      the encoder's last, from `CoSwin.forward`
 * @param boxesXyxy  [B, R, 4], pixels of the picture
 * @param grid       pixels from one token of `level` to the next, and places that are averaged
 * @returns          [B, R, D], of length 1
 */
export function embedRegions(
  { imageEncoder, imageProjection }: RegionEmbedder,
  level: TokenMap,
  boxesXyxy: Tensor,
  { stride, bins = 3, samples = 2 }: { stride: number; bins?: number; samples?: number },
): Tensor {
  const { tokens, height, width } = level.inOrder();
  const [batch, , channels] = tokens.shape;
  if (channels !== imageEncoder.features) {
    throw new ShapeError(
      `embedRegions: the level must be the encoder's last, of ${imageEncoder.features} channels, got ${channels}`,
    );
  }
  const map = reshape(imageEncoder.norm.forward(tokens), [batch, height, width, channels]);
  const pooled = mean(regionAlign(map, boxesXyxy, { stride, bins, samples }), [2, 3]); // [B, R, C]
  return normalizeL2(imageProjection ? imageProjection.forward(pooled) : pooled);
}

/**
 * {@link embedRegions} of one picture for any number of boxes: `pixels` uint8 [1, height, width, 3] and `boxes` float32
 * [1, regions, 4] → `embedding` [1, regions, D].
 *
 * @param stride  pixels from one token of the encoder's last level to the next
 */
export function regionGraph(
  embedder: RegionEmbedder,
  { height, width, stride }: { readonly height: number; readonly width: number; readonly stride: number },
): DynamicGraph {
  return withDynamicAxes([regionsAxis], ({ regions: count = 1 }) => {
    const { levels } = embedder.imageEncoder.forward(input("pixels", [1, height, width, 3], "uint8"));
    const level = levels.at(-1) as TokenMap;
    return { embedding: embedRegions(embedder, level, input("boxes", [1, count, 4]), { stride }) };
  });
}

/**
 * {@link embedRegions} from a level that is there already: `level` float32 [1, height·width, C], row-major, and `boxes`
 * float32 [1, regions, 4] → `embedding` [1, regions, D].
 *
 * @param height  of the level, tokens
 */
export function levelRegionGraph(
  embedder: RegionEmbedder,
  { height, width, stride }: { readonly height: number; readonly width: number; readonly stride: number },
): DynamicGraph {
  return withDynamicAxes([regionsAxis], ({ regions: count = 1 }) => {
    const tokens = input("level", [1, height * width, embedder.imageEncoder.features]);
    const level = new TokenMap(tokens, height, width);
    return { embedding: embedRegions(embedder, level, input("boxes", [1, count, 4]), { stride }) };
  });
}
