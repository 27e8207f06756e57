import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import { cast, div, equal, exp, neg } from "../../graph/elementwise.ts";
import { matmul } from "../../graph/matrix.ts";
import { mean } from "../../graph/reductions.ts";
import { concat, slice } from "../../graph/shaping.ts";
import { logSoftmax } from "../../graph/softmax.ts";
import { constant, formatShape, type Tensor } from "../../graph/tensor.ts";

/**
 * The bidirectional image–text–label loss: all pairs of equal label are positives of each other. Yang et al. (UniCL),
 * arXiv:2204.03610; Florence, arXiv:2111.11432 §2.2.
 *
 * Differs from the papers' sum: each direction is the mean over the batch and the two are averaged, so that with all
 * labels different it is CLIP's loss exactly. Texts beyond the images' own take part in the image → text direction
 * alone, for the images that `further` gives them: they make it a choice among more descriptions than the batch has
 * pictures. Those that may describe an image too are to be left out there, neither positive nor negative.
 *
 * @param images      [B, D], of length 1
 * @param texts       [T, D], of length 1, T ≥ B; text i is the description of image i for i < B
 * @param labels      [T] int64 of the texts, equal for equal descriptions
 * @param logitScale  [], the logarithm of the scale of the cosines
 * @param further     [B, T − B], 1 where an image is told apart from a further text, else 0; needed if T > B
 * @returns           []
 */
export function uniclLoss(images: Tensor, texts: Tensor, labels: Tensor, logitScale: Tensor, further?: Tensor): Tensor {
  checkShapes(images, texts, labels, further);
  const [batch] = images.shape;
  const [count] = texts.shape;
  const scale = exp(logitScale);
  const logits = (of: Tensor, among: Tensor): Tensor => mul(matmul(of, among, { transposeB: true }), scale);
  const average = (a: Tensor, b: Tensor): Tensor => mul(add(a, b), 0.5);
  if (!further || count === batch) {
    const targets = shares(pairsOfEqual(labels, labels)); // row i serves image i and text i alike
    return average(crossEntropy(logits(images, texts), targets), crossEntropy(logits(texts, images), targets));
  }
  const ownTexts = slice(texts, 0, 0, batch);
  const ownLabels = slice(labels, 0, 0, batch);
  const allowed = concat([constant(new Float32Array(batch * batch).fill(1), [batch, batch]), further], 1);
  const penalty = mul(add(allowed, -1), 1e9);
  return average(
    crossEntropy(add(logits(images, texts), penalty), shares(mul(pairsOfEqual(ownLabels, labels), allowed))),
    crossEntropy(logits(ownTexts, images), shares(pairsOfEqual(ownLabels, ownLabels))),
  );
}

function checkShapes(images: Tensor, texts: Tensor, labels: Tensor, further: Tensor | undefined): void {
  const [batch, width] = images.shape;
  const [count] = texts.shape;
  const perText = formatShape([count]);
  const fits = texts.rank === 2 && texts.shape[1] === width && formatShape(labels) === perText;
  if (fits && (further ? formatShape(further) === formatShape([batch, count - batch]) : count === batch)) return;
  const shapes = [images, texts, labels, ...(further ? [further] : [])].map((tensor) => formatShape(tensor)).join(", ");
  throw new ShapeError(
    `uniclLoss: images must be [B, D], texts [T, D], labels [T], and with T > B further [B, T − B], got ${shapes}`,
  );
}

/** [R, C] of 1 where row and column have the same value, else 0. */
function pairsOfEqual(rows: Tensor, columns: Tensor): Tensor {
  return cast(equal(reshape(rows, [rows.shape[0], 1]), reshape(columns, [1, columns.shape[0]])), "float32");
}

/** Rows scaled to sum to 1. */
function shares(positive: Tensor): Tensor {
  return div(positive, sum(positive, 1, true));
}

function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return neg(mean(sum(mul(targets, logSoftmax(logits)), 1)));
}
