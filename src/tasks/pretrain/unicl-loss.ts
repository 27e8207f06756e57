import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import { cast, div, equal, exp, neg } from "../../graph/elementwise.ts";
import { matmul } from "../../graph/matrix.ts";
import { mean } from "../../graph/reductions.ts";
import { slice } from "../../graph/shaping.ts";
import { logSoftmax } from "../../graph/softmax.ts";
import { formatShape, type Tensor } from "../../graph/tensor.ts";

/**
 * The bidirectional image–text–label loss: all pairs of equal label are positives of each other. Yang et al. (UniCL),
 * arXiv:2204.03610; Florence, arXiv:2111.11432 §2.2.
 *
 * Differs from the papers' sum: each direction is the mean over the batch and the two are averaged, so that with all
 * labels different it is CLIP's loss exactly. Texts beyond the images' own take part in the image → text direction
 * alone: they make it a choice among more descriptions than the batch has pictures.
 *
 * @param images      [B, D], of length 1
 * @param texts       [T, D], of length 1, T ≥ B; text i is the description of image i for i < B
 * @param labels      [T] int64 of the texts, equal for equal descriptions
 * @param logitScale  [], the logarithm of the scale of the cosines
 * @returns           []
 */
export function uniclLoss(images: Tensor, texts: Tensor, labels: Tensor, logitScale: Tensor): Tensor {
  const [batch, width] = images.shape;
  const [count] = texts.shape;
  if (texts.shape.length !== 2 || texts.shape[1] !== width || count < batch || formatShape(labels) !== `[${count}]`) {
    throw new ShapeError(
      `uniclLoss: images must be [B, D], texts [T, D] with T ≥ B and labels [T], got ${formatShape(images)}, ${formatShape(texts)} and ${formatShape(labels)}`,
    );
  }
  const own = <T extends Tensor>(tensor: T): Tensor => (count === batch ? tensor : slice(tensor, 0, 0, batch));
  const imageLabels = own(labels);
  const scale = exp(logitScale);
  const imageToText = mul(matmul(images, texts, { transposeB: true }), scale);
  const textToImage = mul(matmul(own(texts), images, { transposeB: true }), scale);
  const targets = positiveShares(imageLabels, labels);
  const ownTargets = count === batch ? targets : positiveShares(imageLabels, imageLabels);
  return mul(add(crossEntropy(imageToText, targets), crossEntropy(textToImage, ownTargets)), 0.5);
}

/** [R, C] from labels [R] and [C]: each row shared out equally among the columns of the same label. */
function positiveShares(rows: Tensor, columns: Tensor): Tensor {
  const positive = cast(equal(reshape(rows, [rows.shape[0], 1]), reshape(columns, [1, columns.shape[0]])), "float32");
  return div(positive, sum(positive, 1, true));
}

function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return neg(mean(sum(mul(targets, logSoftmax(logits)), 1)));
}
