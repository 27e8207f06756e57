import { createHash } from "node:crypto";
import { join } from "node:path";
import { readMatrixFile, writeMatrixFile } from "../io/matrix-file.ts";
import type { EvaluationContext } from "./evaluation-task.ts";

const textsPerRun = 256;
const textsPerFile = 8192; // what a killed run loses at most

/**
 * The embeddings of texts, each computed once for a model and kept in the cache folder.
 *
 * @returns [texts, embedDim]
 */
export async function textRows(
  context: Pick<EvaluationContext, "model" | "cacheFolder" | "signal" | "onProgress" | "onWarning">,
  texts: readonly string[],
): Promise<Float32Array> {
  const { model, cacheFolder, onWarning } = context;
  const dim = model.embedDim;
  const rows = new Float32Array(texts.length * dim);
  for (let from = 0; from < texts.length; from += textsPerFile) {
    const group = texts.slice(from, from + textsPerFile);
    const key = createHash("sha256")
      .update(JSON.stringify([model.fingerprint, group]))
      .digest("hex")
      .slice(0, 40);
    const path = join(cacheFolder, "text-embeddings", `${key}.f32`);
    let part = await readMatrixFile(path, group.length, dim);
    if (!part) {
      part = await embedTexts(context, group, from, texts.length);
      await writeMatrixFile(path, part, dim).catch((error: unknown) => {
        onWarning?.(`Text embeddings are not kept: ${error instanceof Error ? error.message : String(error)}`);
      });
    }
    rows.set(part, from * dim);
  }
  return rows;
}

async function embedTexts(
  { model, signal, onProgress }: Pick<EvaluationContext, "model" | "signal" | "onProgress">,
  texts: readonly string[],
  before: number,
  total: number,
): Promise<Float32Array> {
  const rows = new Float32Array(texts.length * model.embedDim);
  for (let from = 0; from < texts.length; from += textsPerRun) {
    signal?.throwIfAborted();
    const embeddings = await model.embedTexts(texts.slice(from, from + textsPerRun));
    for (const [i, embedding] of embeddings.entries()) rows.set(embedding, (from + i) * model.embedDim);
    onProgress?.("captions", before + from + embeddings.length, total, "texts");
  }
  return rows;
}
