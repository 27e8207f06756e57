import { ShapeError } from "../../core/errors.ts";
import { add, mul, reshape, sum } from "../../graph/broadcasting.ts";
import { cast, equal, exp, softplus, sub } from "../../graph/elementwise.ts";
import { matmul } from "../../graph/matrix.ts";
import { formatShape, type Tensor } from "../../graph/tensor.ts";

/**
 * The pairwise loss of models that score each pair by itself. Zhai et al. (SigLIP), arXiv:2303.15343. Differs: pairs of
 * equal label are positives, as in UniCL, so that one text may go with many pictures of a batch. With all labels
 * different it is SigLIP's loss exactly.
 *
 * @param images      [B, D], of length 1
 * @param texts       [B, D], of length 1
 * @param labels      [B] int64, equal for equal descriptions
 * @param logitScale  [], the logarithm of the scale of the cosines
 * @param logitBias   [], added to the scaled cosines
 * @returns           [], the sum over all pairs divided by B
 */
export function sigmoidLoss(
  images: Tensor,
  texts: Tensor,
  labels: Tensor,
  logitScale: Tensor,
  logitBias: Tensor,
): Tensor {
  const [batch] = images.shape;
  if (formatShape(images) !== formatShape(texts) || formatShape(labels) !== formatShape([batch])) {
    const shapes = [images, texts, labels].map((tensor) => formatShape(tensor)).join(", ");
    throw new ShapeError(`sigmoidLoss: images and texts must be [B, D] and labels [B], got ${shapes}`);
  }
  const logits = add(mul(matmul(images, texts, { transposeB: true }), exp(logitScale)), logitBias);
  const positive = cast(equal(reshape(labels, [batch, 1]), reshape(labels, [1, batch])), "float32");
  return mul(sum(sub(softplus(logits), mul(positive, logits))), 1 / batch);
}
