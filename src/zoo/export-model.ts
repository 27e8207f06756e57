import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Precision } from "../core/precision.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import { writeFolderAtomic } from "../io/output-folder.ts";
import { type AnyExportedModel, exportedModelFile } from "../models/exported-model.ts";
import { textLengthOf } from "../models/tower-graphs.ts";
import { cardFacts } from "./bundled-models.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { encodeTowers } from "./export-onnx.ts";
import { exportReadme } from "./export-readme.ts";
import { beginPhase, type ExportTarget, requireTarget } from "./export-target.ts";
import { verifyExport } from "./export-verification.ts";
import type { FlorenceModel } from "./florence-model.ts";
import { type SavedModel, saveModel } from "./save-model.ts";
import { siglipTokenizerFiles } from "./siglip-tokenizer-files.ts";
import { describeTokenizer, readTokenizerSource } from "./tokenizer-files.ts";

export type Towers = "image" | "text" | "both";

export interface ExportRequest extends ExportTarget {
  /** The checkpoint folder to read. */
  readonly source: string;
  /** The same model loaded: its fingerprint is kept, and its embeddings are what the export must give. */
  readonly model: FlorenceModel;
}

export interface ExportResult {
  readonly files: string[];
  /** The lowest cosine between the export's embeddings and the model's; ONNX only. */
  readonly lowestCosine?: number;
}

/**
 * Writes a model as ONNX files for any ONNX Runtime. The written files are run and compared with the model before the
 * folder takes its place, so an export that computes something else is never left behind.
 *
 * @param precision  that of `request.model` too
 * @throws UserError `bad-argument` if the target exists or may not be replaced, `unsupported`, `mismatch` if the
 *   embeddings differ
 */
export async function exportOnnx(
  request: ExportRequest,
  towers: Towers,
  precision: Precision = "float32",
): Promise<ExportResult> {
  const { source, model, target, signal } = request;
  const begin = (phase: string) => beginPhase(request, phase);
  const beforeReplacing = () => requireTarget(request, [source]);
  await beforeReplacing();
  await begin("reading the model");
  const checkpoint = await readCheckpoint(source);
  // An image tower needs no tokenizer, so that of its model may be any.
  const text = towers === "image" ? undefined : await describeText(checkpoint, source);
  const card = await readFile(join(source, "README.md"), "utf8").catch(() => "");
  const description = { ...describe(checkpoint, model, towers, text, cardFacts(card).license), precision };
  const files = new Map<string, string | Uint8Array>([
    ...(await encodeTowers(checkpoint, description, begin)),
    [exportedModelFile, `${JSON.stringify(description, null, 2)}\n`],
    ["README.md", exportReadme(description)],
    ...Object.entries(text?.files ?? {}),
  ]);
  const write = async (folder: string): Promise<number> => {
    await begin("writing the files");
    for (const [name, content] of files) {
      signal?.throwIfAborted();
      await writeFileAtomic(join(folder, name), content);
    }
    await begin("running the files and comparing with the model");
    return verifyExport(folder, description, checkpoint, model, { signal });
  };
  const lowestCosine = await writeFolderAtomic(target, write, { signal, beforeReplacing });
  return { files: [...files.keys()], lowestCosine };
}

/** Writes a model of any family as our own checkpoint folder, which `loadModel` reads. */
export async function exportCheckpoint(request: ExportRequest, dtype: "F16" | "F32"): Promise<ExportResult> {
  const { source, target, signal } = request;
  const beforeReplacing = () => requireTarget(request, [source]);
  await beforeReplacing();
  await beginPhase(request, "reading the model");
  const { name, architecture, weights, tokenizer, preprocessing } = await readCheckpoint(source);
  const card = await readFile(join(source, "README.md"), "utf8").catch(() => undefined);
  const saved: SavedModel = {
    ...{ name, architecture, weights, preprocessing, dtype },
    tokenizer: await readTokenizerSource(tokenizer, source),
    files: card === undefined ? {} : { "README.md": card },
  };
  await beginPhase(request, "writing the checkpoint");
  await saveModel(target, saved, { signal, beforeReplacing });
  return { files: (await readdir(target)).sort() };
}

interface DescribedText {
  readonly text: NonNullable<AnyExportedModel["text"]>;
  /** The tokenizer's, by name. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

async function describeText({ tokenizer }: Checkpoint, folder: string): Promise<DescribedText> {
  const { contextLength, padId } = tokenizer;
  const { config, files } = describeTokenizer(await readTokenizerSource(tokenizer, folder), contextLength);
  // A tokenizer that fills texts up itself does it for an encoder that reads padding: shorter texts would be others.
  const length = tokenizer.encode("").length === contextLength ? "context" : textLengthOf(contextLength);
  const names = siglipTokenizerFiles.filter((name) => name in files);
  const described = config.kind === "siglip" ? { ...config, files: names } : config;
  return { text: { file: "text.onnx", length, padId, tokenizer: described }, files };
}

function describe(
  { preprocessing, architecture }: Checkpoint,
  { name, fingerprint, logitScale, scoring }: FlorenceModel,
  towers: Towers,
  described: DescribedText | undefined,
  licence: string | undefined,
): AnyExportedModel {
  return {
    format: "florence-export/1",
    ...{ name, fingerprint, precision: "float32" },
    ...(licence === undefined ? {} : { licence }),
    embedding: architecture.embedding,
    ...{ logitScale, scoring },
    ...(towers === "text" ? {} : { image: { file: "image.onnx", ...preprocessing } }),
    ...(described ? { text: described.text } : {}),
  };
}
