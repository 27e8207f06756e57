import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { applyAdapter, readAdapter } from "./adapter-files.ts";
import { cardFacts } from "./bundled-models.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { type ExportTarget, requireTarget } from "./export-target.ts";
import { type SavedModel, saveModel } from "./save-model.ts";
import { readTokenizerSource } from "./tokenizer-files.ts";

export interface MergeRequest extends Omit<ExportTarget, "onPhase"> {
  /** The folder of `adapter.json` and `adapter.safetensors`. */
  readonly adapter: string;
  /** The model that the adapters were trained beside: its checkpoint folder and fingerprint. */
  readonly base: { readonly name: string; readonly fingerprint: string; readonly folder: string };
  /** How weights are stored; in float32 the model computes what it did with the adapters beside it. */
  readonly dtype?: "F16" | "F32";
}

/**
 * Writes the full checkpoint that a model and its low-rank adapters make together, in Florence's own layout, whatever
 * family the model is of. Its card names both; the licence is the model's.
 *
 * @returns    the name of the merged model, that of its folder
 * @throws     UserError: bad-argument if the target exists, mismatch if the adapters belong to another model
 */
export async function mergeAdapterFolder(request: MergeRequest): Promise<{ name: string }> {
  const { adapter: path, base, target, dtype = "F32" } = request;
  const beforeReplacing = () => requireTarget(request, [path, base.folder]);
  await beforeReplacing();
  const { rank, alpha, imageSize } = await readAdapter(path);
  const checkpoint = await readCheckpoint(base.folder, { imageSize });
  const weights = await applyAdapter(path, { ...base, weights: checkpoint.weights });
  const { architecture, preprocessing, tokenizer } = checkpoint;
  const name = basename(resolve(target));
  const card = await readFile(join(base.folder, "README.md"), "utf8").catch(() => "");
  const merged: SavedModel = {
    ...{ name, architecture, preprocessing, weights, dtype },
    tokenizer: await readTokenizerSource(tokenizer, base.folder),
    files: {
      "README.md": [
        "---",
        `name: ${name}`,
        `license: ${cardFacts(card).license ?? "that of the original model and of the data it was tuned on"}`,
        `base: ${base.name}`,
        "---",
        "",
        `# ${name}`,
        "",
        `${base.name} (fingerprint ${base.fingerprint.slice(0, 12)}) with the low-rank adapters of ${basename(resolve(path))}`,
        `(rank ${rank}, alpha ${alpha}) merged into its weights by \`florence models merge\`.`,
        "",
      ].join("\n"),
    },
  };
  await saveModel(target, merged, { signal: request.signal, beforeReplacing });
  return { name };
}
