import { ShapeError } from "../core/errors.ts";
import type { Rng } from "../core/rng.ts";

/** How pictures of a batch are mixed with one another. An α of 0 switches one off; with both, each batch draws one. */
export interface MixingConfig {
  readonly mixup: number; // α of mixup's Beta(α, α), in [0, 1]. Zhang et al., arXiv:1710.09412
  readonly cutmix: number; // α of CutMix's. Yun et al., arXiv:1905.04899
}

/** A batch as it is mixed in place. */
export interface MixableBatch {
  readonly pixels: Uint8Array; // [B, size, size, 3]
  readonly targets: Float32Array; // [B, K]
  readonly size: number;
  readonly batch: number;
}

/**
 * Mixes each picture, and its targets in the same proportion, with its partner in the reversed batch. One proportion a
 * batch, as the papers have it.
 */
export function mixBatch(data: MixableBatch, { mixup, cutmix }: MixingConfig, rng: Rng): void {
  if (mixup === 0 && cutmix === 0) return;
  const cuts = mixup === 0 || (cutmix > 0 && rng.uniform() < 0.5);
  const share = drawBeta(cuts ? cutmix : mixup, rng); // of the picture itself
  const own = cuts ? pasteBox(data, share, rng) : blend(data, share);
  const classes = data.targets.length / data.batch;
  eachPair(data.batch, (a, b) => {
    for (let k = 0; k < classes; k++) {
      const [one, other] = [data.targets[a * classes + k], data.targets[b * classes + k]];
      data.targets[a * classes + k] = own * one + (1 - own) * other;
      data.targets[b * classes + k] = own * other + (1 - own) * one;
    }
  });
}

function eachPair(batch: number, visit: (a: number, b: number) => void): void {
  for (let a = 0; a < batch >> 1; a++) visit(a, batch - 1 - a);
}

/** Every byte becomes a mean of the pair's. Returns the share of the picture itself. */
function blend({ pixels, size, batch }: MixableBatch, share: number): number {
  const length = size * size * 3;
  eachPair(batch, (a, b) => {
    for (let i = 0; i < length; i++) {
      const [one, other] = [pixels[a * length + i], pixels[b * length + i]];
      pixels[a * length + i] = Math.round(share * one + (1 - share) * other);
      pixels[b * length + i] = Math.round(share * other + (1 - share) * one);
    }
  });
  return share;
}

/** A box of the share 1 − `share` changes places between the two. Returns what of a picture is still its own. */
function pasteBox({ pixels, size, batch }: MixableBatch, share: number, rng: Rng): number {
  const side = size * Math.sqrt(1 - share);
  const [x, y] = [rng.int(size), rng.int(size)]; // its centre: a box at the edge is cut off
  const [left, right] = [Math.max(0, Math.round(x - side / 2)), Math.min(size, Math.round(x + side / 2))];
  const [top, bottom] = [Math.max(0, Math.round(y - side / 2)), Math.min(size, Math.round(y + side / 2))];
  const length = size * size * 3;
  eachPair(batch, (a, b) => {
    for (let row = top; row < bottom; row++) {
      for (let i = (row * size + left) * 3; i < (row * size + right) * 3; i++) {
        const held = pixels[a * length + i];
        pixels[a * length + i] = pixels[b * length + i];
        pixels[b * length + i] = held;
      }
    }
  });
  return 1 - (Math.max(0, right - left) * Math.max(0, bottom - top)) / (size * size);
}

/** A draw from Beta(α, α) for α in (0, 1], by Jöhnk's rejection. */
function drawBeta(alpha: number, rng: Rng): number {
  if (!(alpha > 0 && alpha <= 1)) throw new ShapeError(`mixBatch: α must be above 0 and at most 1, got ${alpha}`);
  for (;;) {
    const [a, b] = [rng.uniform() ** (1 / alpha), rng.uniform() ** (1 / alpha)];
    if (a + b > 0 && a + b <= 1) return a / (a + b);
  }
}
