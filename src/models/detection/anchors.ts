import { add, mul, reshape } from "../../graph/broadcasting.ts";
import { exp, minimum } from "../../graph/elementwise.ts";
import { concat, slice } from "../../graph/shaping.ts";
import { constant, type Tensor } from "../../graph/tensor.ts";

/** The map of one pyramid level over an image. */
export interface AnchorLevel {
  readonly stride: number; // pixels from one token to the next
  readonly height: number; // tokens
  readonly width: number;
}

/** One square box for each token of a pyramid, levels one after the other, each row-major. */
export interface AnchorGrid {
  readonly levels: readonly AnchorLevel[];
  readonly count: number; // A
  readonly boxesXyxy: Float32Array; // [A, 4], pixels
}

/** Sides of an anchor in strides of its level: 64 to 1024 pixels on P3 to P7. */
const anchorScale = 8;

/** Deltas are this many times an anchor's side, or the logarithm of a ratio of sides. Faster R-CNN, arXiv:1506.01497. */
const deltaWeights = [10, 10, 5, 5] as const;

/** Keeps exp within bounds: a box is at most so many times as large as its anchor. */
const largestLogRatio = Math.log(1000 / 16);

/** ATSS's anchors: centred on each token's patch of the image. Zhang et al., arXiv:1912.02424. */
export function anchorGrid(levels: readonly AnchorLevel[]): AnchorGrid {
  const count = levels.reduce((total, { height, width }) => total + height * width, 0);
  const boxesXyxy = new Float32Array(4 * count);
  let at = 0;
  for (const { stride, height, width } of levels) {
    const half = (anchorScale * stride) / 2;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        boxesXyxy.set([x - half, y - half, x + half, y + half], at);
        at += 4;
      }
    }
  }
  return { levels, count, boxesXyxy };
}

/**
 * Boxes from deltas to their anchors. Differs from the released ATSS: a box from 0 to 8 is 8 wide, not 9.
 *
 * @param deltas  [B, A, 4]: centre shifts in tenths of a side, logarithms of side ratios in fifths
 * @returns       [B, A, 4] xyxy, pixels
 */
export function decodeBoxes(deltas: Tensor, grid: AnchorGrid): Tensor {
  const { centres, sides } = centresAndSides(grid);
  const anchorCentres = constant(centres, [1, grid.count, 2]);
  const anchorSides = constant(sides, [1, grid.count, 2]);
  const shifts = mul(slice(deltas, 2, 0, 2), 1 / deltaWeights[0]);
  const ratios = minimum(mul(slice(deltas, 2, 2, 4), 1 / deltaWeights[2]), largestLogRatio);
  const centre = add(mul(shifts, anchorSides), anchorCentres);
  const half = mul(mul(exp(ratios), anchorSides), 0.5);
  return concat([add(centre, mul(half, -1)), add(centre, half)], 2);
}

/** One box of `decodeBoxes` on plain numbers; its deltas begin at `first`. */
export function decodeBox(
  grid: AnchorGrid,
  anchor: number,
  deltas: ArrayLike<number>,
  first: number,
): [x0: number, y0: number, x1: number, y1: number] {
  const box = grid.boxesXyxy;
  const [width, height] = [box[4 * anchor + 2] - box[4 * anchor], box[4 * anchor + 3] - box[4 * anchor + 1]];
  const x = box[4 * anchor] + width / 2 + (deltas[first] / deltaWeights[0]) * width;
  const y = box[4 * anchor + 1] + height / 2 + (deltas[first + 1] / deltaWeights[1]) * height;
  const halfWidth = (Math.exp(Math.min(deltas[first + 2] / deltaWeights[2], largestLogRatio)) * width) / 2;
  const halfHeight = (Math.exp(Math.min(deltas[first + 3] / deltaWeights[3], largestLogRatio)) * height) / 2;
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
}

function centresAndSides({ count, boxesXyxy }: AnchorGrid): { centres: Float32Array; sides: Float32Array } {
  const centres = new Float32Array(2 * count);
  const sides = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    for (const axis of [0, 1]) {
      const [low, high] = [boxesXyxy[4 * i + axis], boxesXyxy[4 * i + axis + 2]];
      centres[2 * i + axis] = (low + high) / 2;
      sides[2 * i + axis] = high - low;
    }
  }
  return { centres, sides };
}

/** The four edges of boxes [B, A, 4], each [B, A]. */
export function boxEdges(boxes: Tensor): [x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor] {
  const [batch, count] = boxes.shape;
  const edge = (i: number): Tensor => reshape(slice(boxes, 2, i, i + 1), [batch, count]);
  return [edge(0), edge(1), edge(2), edge(3)];
}
