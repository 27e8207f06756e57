import { add, mul, sum } from "../../graph/broadcasting.ts";
import { sub } from "../../graph/elementwise.ts";
import { gradients, gradientsOfMany } from "../../graph/gradients.ts";
import { input, type Parameter, type Tensor } from "../../graph/tensor.ts";
import { textInputs } from "../../models/text-encoder/text-batch.ts";
import type { TwoTower } from "../../models/two-tower.ts";
import { DropPath } from "../../nn/drop-path.ts";
import { compile, type Program } from "../../runtime/program.ts";
import { sigmoidLoss } from "./sigmoid-loss.ts";
import { uniclLoss } from "./unicl-loss.ts";

export interface ContrastiveShape {
  model: TwoTower;
  parameters: ReadonlyMap<string, Parameter>; // those to be learnt
  allParameters: ReadonlyMap<string, Parameter>;
  frozenWeights?: ReadonlyMap<string, Float32Array>;
  imageSize: number;
  embedding: number;
  /** Texts come as features of a frozen encoder, or as tokens of at most this many. */
  text: { kind: "features"; width: number } | { kind: "tokens"; length: number };
  dropPath: boolean;
  recompute: boolean;
  /** Weight of the squared distance of each image's embedding from where it was before, fed as `anchors`. */
  anchorWeight?: number;
  threads?: number;
}

/** Prefix of a gradient among a program's outputs. */
export const gradientPrefix = "gradient/";

interface Embeddings {
  images: Tensor;
  texts: Tensor;
}

/** Both towers on `count` pictures and `textCount` texts. */
function embed(shape: ContrastiveShape, count: number, textCount: number): Embeddings {
  const { model, imageSize } = shape;
  const pixels = input("pixels", [count, imageSize, imageSize, 3], "uint8");
  const rates = model.imageEncoder.dropRates;
  const options = {
    recompute: shape.recompute,
    ...(shape.dropPath ? { dropPath: new DropPath(rates, count) } : {}),
  };
  const texts =
    shape.text.kind === "features"
      ? model.embedTextFeatures(input("text.features", [textCount, shape.text.width]))
      : model.embedTexts(textInputs(textCount, shape.text.length));
  return { images: model.embedImages(pixels, options), texts };
}

/**
 * The contrastive loss, and with an anchor weight λ what holds embeddings to the original model's: λ times the mean
 * squared distance, as in LDIFS (Mukhoti et al., arXiv:2308.10299), which keeps what the training data does not show.
 */
function lossOf(images: Tensor, texts: Tensor, { model, anchorWeight = 0 }: ContrastiveShape): Tensor {
  const contrastive = pairLoss(images, texts, model);
  if (anchorWeight === 0) return contrastive;
  const moved = sub(images, input("anchors", images.shape));
  return add(contrastive, mul(sum(mul(moved, moved)), anchorWeight / images.shape[0]));
}

/** The loss that the model's scores are for, fed `labels` of the texts, and `further` where some are no image's own. */
function pairLoss(images: Tensor, texts: Tensor, { logitScale, logitBias }: TwoTower): Tensor {
  const [textCount] = texts.shape;
  const labels = input("labels", [textCount], "int64");
  if (logitBias) return sigmoidLoss(images, texts, labels, logitScale, logitBias);
  const [batch] = images.shape;
  const further = textCount > batch ? input("further", [batch, textCount - batch]) : undefined;
  return uniclLoss(images, texts, labels, logitScale, further);
}

function gradientOutputs(parameters: ReadonlyMap<string, Parameter>, found: readonly (Tensor | undefined)[]) {
  const outputs: Record<string, Tensor> = {};
  for (const [i, name] of [...parameters.keys()].entries()) {
    const gradient = found[i];
    if (gradient) outputs[gradientPrefix + name] = gradient;
  }
  return outputs;
}

function compileFor(shape: ContrastiveShape, outputs: Record<string, Tensor>): Promise<Program> {
  return compile({
    outputs,
    parameters: shape.allParameters,
    recompute: shape.recompute,
    ...(shape.frozenWeights ? { weights: shape.frozenWeights } : {}),
    ...(shape.threads ? { threads: shape.threads } : {}),
  });
}

/** The whole step in one program: feeds pixels, texts and `labels`; gives `loss` and a gradient for each parameter. */
export async function compileFullStep(shape: ContrastiveShape, batch: number, textCount = batch): Promise<Program> {
  const { images, texts } = embed(shape, batch, textCount);
  const loss = lossOf(images, texts, shape);
  const found = gradients(loss, [...shape.parameters.values()]);
  return compileFor(shape, { loss, ...gradientOutputs(shape.parameters, found) });
}

/** The three programs of a gradient cache. Gao et al., arXiv:2101.06983. */
export interface GradientCachePrograms {
  forward: Program; // chunk → `images`, `texts`
  loss: Program; // all embeddings, `labels` and `further` → `loss`, gradients of both sides and of the scores' parameters
  backward: Program; // chunk and the gradients of its embeddings → a gradient for each parameter
}

/**
 * Compiles the step in chunks: exact full-batch gradients with the memory of one chunk.
 *
 * @param textCount  texts of the batch; as many chunks as the images', so that chunk must divide both evenly
 */
export async function compileGradientCache(
  shape: ContrastiveShape,
  batch: number,
  chunk: number,
  textCount = batch,
): Promise<GradientCachePrograms> {
  const textChunk = textCount / (batch / chunk);
  const forward = await compileFor(shape, { ...embed(shape, chunk, textChunk) });

  const images = input("images", [batch, shape.embedding]);
  const texts = input("texts", [textCount, shape.embedding]);
  const loss = lossOf(images, texts, shape);
  const scoring = new Map([...shape.parameters].filter(([name]) => name === "logitScale" || name === "logitBias"));
  const [imageGradient, textGradient, ...rest] = gradients(loss, [images, texts, ...scoring.values()]);
  const lossProgram = await compileFor(shape, {
    loss,
    imageGradient: imageGradient as Tensor,
    textGradient: textGradient as Tensor,
    ...gradientOutputs(scoring, rest),
  });

  const again = embed(shape, chunk, textChunk);
  const seeds = [
    [again.images, input("imageGradient", [chunk, shape.embedding])],
    [again.texts, input("textGradient", [textChunk, shape.embedding])],
  ] as const;
  const found = gradientsOfMany(seeds, [...shape.parameters.values()]);
  const surrogate = add(sum(mul(seeds[0][0], seeds[0][1])), sum(mul(seeds[1][0], seeds[1][1])));
  const backward = await compileFor(shape, { surrogate, ...gradientOutputs(shape.parameters, found) });
  return { forward, loss: lossProgram, backward };
}
