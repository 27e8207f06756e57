import { join } from "node:path";
import { decodeFloat16, encodeFloat16 } from "../core/float16.ts";
import type { Weights } from "../nn/module.ts";
import { saveAdapter } from "../zoo/adapter-files.ts";
import { classifierFiles } from "../zoo/classifier-files.ts";
import { saveModel } from "../zoo/save-model.ts";
import type { TokenizerSource } from "../zoo/tokenizer-files.ts";
import type { FineTunedModel } from "./fine-tuning.ts";
import { mixtureAt, type TunedPair } from "./retention.ts";
import { type TuningReport, tunedModelCard } from "./tuned-model-card.ts";

export interface SaveTunedOptions {
  readonly runDir: string;
  readonly model: FineTunedModel;
  /** What is mixed; for adapters, `tuned` has them merged in. */
  readonly pair: TunedPair;
  readonly report: TuningReport;
  readonly tokenizer: TokenizerSource;
  readonly classes: readonly string[];
  readonly isMultiLabel: boolean;
}

/**
 * Writes the kept mixture as `<runDir>/model`, a checkpoint folder that loads as any other, with its classifier if it
 * has one; adapters besides as `<runDir>/adapter`. Returns the folders.
 */
export async function saveTuned(options: SaveTunedOptions): Promise<{ model: string; adapter: string | undefined }> {
  const { runDir, model, pair, report, tokenizer, classes, isMultiLabel } = options;
  const { weights, head } = mixtureAt(pair, report.alpha);
  const folder = join(runDir, "model");
  const classifier =
    head && pair.head
      ? classifierFiles({
          classes: [...classes],
          scoring: isMultiLabel ? "sigmoid" : "softmax",
          input: pair.head.input,
          weights: head,
        })
      : {};
  await saveModel(folder, {
    name: report.name,
    architecture: model.architecture,
    preprocessing: model.preprocessing,
    weights,
    tokenizer,
    dtype: isFloat16(pair.start) ? "F16" : "F32",
    files: {
      "README.md": tunedModelCard(report),
      "tuning.json": `${JSON.stringify(report, null, 2)}\n`,
      ...classifier.files,
    },
    ...(classifier.tensorFiles ? { tensorFiles: classifier.tensorFiles } : {}),
  });
  if (!model.adapters || report.alpha === 0) return { model: folder, adapter: undefined };
  const { rank, alpha } = report.recipe.lora;
  const adapter = join(runDir, "adapter");
  // A mixture of the original and the merged model is the adapter scaled down.
  await saveAdapter(adapter, {
    ...{ rank, alpha: alpha * report.alpha, base: report.base, weights: model.adapters },
    imageSize: report.recipe.imageSize,
  });
  return { model: folder, adapter };
}

/** Whether float16 stores the weights as they are, so that what was not tuned stays the same to the bit. */
function isFloat16(weights: Weights): boolean {
  for (const values of weights.values()) {
    if (values.some((value) => Math.abs(value) > 65_504)) return false;
    const rounded = decodeFloat16(encodeFloat16(values));
    if (rounded.some((value, i) => value !== values[i])) return false;
  }
  return true;
}
