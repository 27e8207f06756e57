import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradients.ts";
import { normalizeL2 } from "../../src/graph/softmax.ts";
import { constant, input, type Tensor } from "../../src/graph/tensor.ts";
import { uniclLoss } from "../../src/tasks/pretrain/unicl-loss.ts";
import { evaluate, randomData } from "../support/evaluate.ts";
import { readFixture, relativeError } from "./read-fixture.ts";

interface LossProblem {
  images: ArrayLike<number>; // [B, D], of any length
  texts: ArrayLike<number>; // [T, D], T ≥ B
  labels: readonly number[]; // [T]
  batch?: number; // B if it is not T
  further?: readonly number[]; // [B, T − B], where there are texts beyond the images' own
  logScale: number;
}

/** The graph's loss of normalised features, with its gradients. */
async function graphLoss({ images, texts, labels, logScale, batch = labels.length, further }: LossProblem) {
  const width = images.length / batch;
  const [image, text] = [input("image", [batch, width]), input("text", [labels.length, width])];
  const scale = input("logScale", []);
  const loss = uniclLoss(
    normalizeL2(image),
    normalizeL2(text),
    constant(BigInt64Array.from(labels, BigInt), [labels.length]),
    scale,
    further && constant(Float32Array.from(further), [batch, labels.length - batch]),
  );
  const [toImage, toText, toScale] = gradients(loss, [image, text, scale]) as [Tensor, Tensor, Tensor];
  const feeds = {
    image: Float32Array.from(images),
    text: Float32Array.from(texts),
    logScale: Float32Array.of(logScale),
  };
  const found = await evaluate({ loss, toImage, toText, toScale }, feeds);
  return { loss: found.loss, image: found.toImage, text: found.toText, logScale: found.toScale };
}

/** The loss in float64, written as the paper's sums over pairs. */
function naiveLoss({ images, texts, labels, logScale, batch = labels.length, further }: LossProblem): number {
  const rowsOf = (values: ArrayLike<number>): number[][] => {
    const width = images.length / batch;
    return Array.from({ length: values.length / width }, (_, i) => {
      const row = Array.from({ length: width }, (_, k) => values[i * width + k]);
      const norm = Math.hypot(...row);
      return row.map((value) => value / norm);
    });
  };
  const [u, v] = [rowsOf(images), rowsOf(texts)];
  const similarity = (i: number, k: number): number => u[i].reduce((total, x, c) => total + x * v[k][c], 0);
  const logit = (i: number, k: number): number => Math.exp(logScale) * similarity(i, k);
  let total = 0;
  for (let i = 0; i < batch; i++) {
    const counts = (k: number): boolean => k < batch || further?.[i * (labels.length - batch) + k - batch] === 1;
    const positives = labels.flatMap((label, k) => (label === labels[i] && counts(k) ? [k] : []));
    const ownPositives = positives.filter((k) => k < batch);
    const allTexts = labels.reduce((sum, _, j) => sum + (counts(j) ? Math.exp(logit(i, j)) : 0), 0);
    const allImages = u.reduce((sum, _, j) => sum + Math.exp(logit(j, i)), 0);
    for (const k of positives) total -= Math.log(Math.exp(logit(i, k)) / allTexts) / positives.length;
    for (const k of ownPositives) total -= Math.log(Math.exp(logit(k, i)) / allImages) / ownPositives.length;
  }
  return total / (2 * batch);
}

/** Central differences of the naive loss by each element of one operand. */
function differences(problem: LossProblem, key: "images" | "texts"): number[] {
  const step = 1e-5;
  return Array.from({ length: problem[key].length }, (_, i) => {
    const at = (shift: number): number => {
      const moved = Float64Array.from(problem[key]);
      moved[i] += shift;
      return naiveLoss({ ...problem, [key]: moved });
    };
    return (at(step) - at(-step)) / (2 * step);
  });
}

describe("the UniCL loss against PyTorch in float64", () => {
  it.each(["repeated", "unique"])("%s labels", async (name) => {
    const fixture = await readFixture("unicl-loss");
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    const { loss } = fixture.json<Record<string, { loss: number }>>("losses")[name];
    const found = await graphLoss({
      images: fixture.tensor("image").data,
      texts: fixture.tensor("text").data,
      labels: [...fixture.tensor(`${name}/labels`).data],
      logScale: fixture.json<number>("logScale"),
    });
    expect(relativeError(found.loss, [loss])).toBeLessThan(tolerance.forward);
    for (const key of ["image", "text", "logScale"] as const) {
      const reference = fixture.tensor(`${name}/gradients/${key}`).data;
      expect(relativeError(found[key], reference), key).toBeLessThan(tolerance.gradients);
    }
  });
});

describe("the UniCL loss against its definition in float64", () => {
  it.each([
    { name: "repeated labels", labels: [5, 2, 5, 5, 9, 2, 0, 7, 9, 5] },
    { name: "one label for all", labels: new Array<number>(10).fill(3) },
    { name: "all labels different: CLIP's loss", labels: Array.from({ length: 10 }, (_, i) => i) },
    {
      name: "texts beyond the images' own",
      labels: [5, 2, 5, 9, 2, 5, 0, 0, 11, 9],
      batch: 5,
      further: [1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1],
    },
  ])("with $name", async ({ labels, batch = labels.length, further }) => {
    const problem = {
      images: randomData([batch, 7], "images"),
      texts: randomData([labels.length, 7], "texts"),
      labels,
      batch,
      ...(further && { further }),
      logScale: Math.log(12),
    };
    const found = await graphLoss(problem);
    expect(relativeError(found.loss, [naiveLoss(problem)])).toBeLessThan(1e-6);
    expect(relativeError(found.image, differences(problem, "images"))).toBeLessThan(1e-4);
    expect(relativeError(found.text, differences(problem, "texts"))).toBeLessThan(1e-4);
    const step = 1e-5;
    const lossAt = (logScale: number): number => naiveLoss({ ...problem, logScale });
    const slope = (lossAt(problem.logScale + step) - lossAt(problem.logScale - step)) / (2 * step);
    expect(relativeError(found.logScale, [slope])).toBeLessThan(1e-4);
  });

  it("is CLIP's cross-entropy of the diagonal when all labels differ", async () => {
    const [batch, width] = [6, 4];
    const images = randomData([batch, width], "images");
    const texts = randomData([batch, width], "texts");
    const norm = (data: Float32Array, i: number) => Math.hypot(...data.subarray(i * width, (i + 1) * width));
    const logits = Array.from({ length: batch }, (_, i) =>
      Array.from({ length: batch }, (_, j) => {
        let dot = 0;
        for (let c = 0; c < width; c++) dot += images[i * width + c] * texts[j * width + c];
        return (10 * dot) / (norm(images, i) * norm(texts, j));
      }),
    );
    const crossEntropy = (rows: number[][]): number =>
      rows.reduce((total, row, i) => total + Math.log(row.reduce((sum, x) => sum + Math.exp(x - row[i]), 0)), 0) /
      batch;
    const columns = logits.map((_, j) => logits.map((row) => row[j]));
    const clip = (crossEntropy(logits) + crossEntropy(columns)) / 2;
    const labels = [31, 4, 15, 9, 2, 6];
    const found = await graphLoss({ images, texts, labels, logScale: Math.log(10) });
    expect(relativeError(found.loss, [clip])).toBeLessThan(1e-6);
  });
});
