import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import { cast, div, equal, exp, neg } from "../../graph/elementwise.ts";
import { matmul } from "../../graph/matrix.ts";
import { mean } from "../../graph/reductions.ts";
import { logSoftmax } from "../../graph/softmax.ts";
import { formatShape, type Tensor } from "../../graph/tensor.ts";

/**
 * The bidirectional image–text–label loss: all pairs of equal label are positives of each other. Yang et al. (UniCL),
 * arXiv:2204.03610; Florence, arXiv:2111.11432 §2.2.
 *
 * Differs from the papers' sum: each direction is the mean over the batch and the two are averaged, so that with all
 * labels different it is CLIP's loss exactly.
 *
 * @param images      [B, D], of length 1
 * @param texts       [B, D], of length 1
 * @param labels      [B] int64, equal for equal descriptions
 * @param logitScale  [], the logarithm of the scale of the cosines
 * @returns           []
 */
export function uniclLoss(images: Tensor, texts: Tensor, labels: Tensor, logitScale: Tensor): Tensor {
  const [batch] = images.shape;
  if (formatShape(images) !== formatShape(texts) || formatShape(labels) !== formatShape([batch])) {
    throw new ShapeError(
      `uniclLoss: images and texts must be [B, D] and labels [B], got ${formatShape(images)}, ${formatShape(texts)} and ${formatShape(labels)}`,
    );
  }
  const positive = cast(equal(reshape(labels, [batch, 1]), reshape(labels, [1, batch])), "float32");
  const targets = div(positive, sum(positive, 1, true)); // rows sum to 1; row i serves image i and text i alike
  const scale = exp(logitScale);
  const imageToText = mul(matmul(images, texts, { transposeB: true }), scale);
  const textToImage = mul(matmul(texts, images, { transposeB: true }), scale);
  const crossEntropy = (logits: Tensor): Tensor => neg(mean(sum(mul(targets, logSoftmax(logits)), 1)));
  return mul(add(crossEntropy(imageToText), crossEntropy(textToImage)), 0.5);
}
