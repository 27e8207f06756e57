import type { TwoTower } from "../models/two-tower.ts";
import { initialWeights, type Weights } from "../nn/module.ts";
import { ClassifierHead, type HeadInput, headWidth, zeroShotHead } from "../tasks/fine-tune/classifier-head.ts";
import { TowerRunner } from "../tasks/fine-tune/tower-runner.ts";
import { targetsOf } from "../tasks/labelled-targets.ts";
import { readmeLambda } from "../tasks/linear-probe/linear-probe.ts";
import { fitLogisticRegression } from "../tasks/logistic-regression.ts";
import type { FineTunedModel, FineTuningOptions } from "./fine-tuning.ts";
import { embedClassNames } from "./tuning-scores.ts";

/**
 * The head's first weights. Those of a linear probe keep the tower from being bent by a head that knows nothing yet: Kumar
 * et al., arXiv:2202.10054.
 */
export async function startHead(
  options: FineTuningOptions,
  { architecture, model, start, data }: Pick<FineTunedModel, "architecture" | "start" | "data"> & { model: TwoTower },
): Promise<{ input: HeadInput; start: Weights }> {
  const { recipe, checkpoint, set, signal, onTexts, onAnchors: onProgress } = options;
  const classes = set.classes.length;
  if (recipe.headStart === "random") {
    const input = { kind: "pooled" } as const;
    const width = headWidth(model, input, architecture.embedding);
    return { input, start: initialWeights(new ClassifierHead(width, classes), recipe.seed) };
  }
  const runner = new TowerRunner(architecture, checkpoint.tokenizer);
  try {
    if (recipe.headStart === "probe") {
      const { pooled: features } = await runner.embedStore(start, data.train, { signal, onProgress });
      const rows = { features, dim: model.imageEncoder.features };
      const { classifier } = await fitLogisticRegression(rows, targetsOf(set, data.train.images), {
        lambda: readmeLambda,
        ...(signal && { signal }),
      });
      return {
        input: { kind: "pooled" },
        start: new Map([
          ["weight", classifier.weights],
          ["bias", classifier.bias],
        ]),
      };
    }
    const embeddings = await embedClassNames(runner, start, set.classes, recipe.templates, {
      signal,
      onProgress: onTexts,
    });
    const scale = Math.exp((start.get("logitScale") as Float32Array)[0]);
    const bias = start.get("logitBias")?.[0] ?? 0;
    return { input: { kind: "embedding", scale }, start: zeroShotHead(embeddings, classes, bias) };
  } finally {
    await runner.dispose();
  }
}
