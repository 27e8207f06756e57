import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import type { Precision } from "../core/precision.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { type ExportedModel, exportedModelFile } from "../models/exported-model.ts";
import { textLengthOf } from "../models/tower-graphs.ts";
import { cardFacts } from "./bundled-models.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { encodeTowers } from "./export-onnx.ts";
import { exportReadme } from "./export-readme.ts";
import { verifyExport } from "./export-verification.ts";
import type { FlorenceModel } from "./florence-model.ts";
import { saveModel } from "./save-model.ts";
import { describeTokenizer, readTokenizerSource, tokenizerSource } from "./tokenizer-files.ts";

export type Towers = "image" | "text" | "both";

export interface ExportRequest {
  /** The checkpoint folder to read. */
  readonly source: string;
  /** The same model loaded: its fingerprint is kept, and its embeddings are what the export must give. */
  readonly model: FlorenceModel;
  /** The folder to write. */
  readonly target: string;
  /** Replace what stands at `target`. */
  readonly force?: boolean;
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
 * @throws UserError `bad-argument` if the target exists, `unsupported`, `mismatch` if the embeddings differ
 */
export async function exportOnnx(
  request: ExportRequest,
  towers: Towers,
  precision: Precision = "float32",
): Promise<ExportResult> {
  await requireFree(request);
  const checkpoint = await readCheckpoint(request.source);
  const tokenizer = describeTokenizer(tokenizerSource(checkpoint.tokenizer), checkpoint.tokenizer.contextLength);
  const card = await readFile(join(request.source, "README.md"), "utf8").catch(() => "");
  const description = {
    ...describe(checkpoint, request.model, towers, tokenizer.config, cardFacts(card).license),
    precision,
  };
  const files = new Map<string, string | Uint8Array>([
    ...encodeTowers(checkpoint, description),
    [exportedModelFile, `${JSON.stringify(description, null, 2)}\n`],
    ["README.md", exportReadme(description)],
  ]);
  if (description.text) for (const [name, content] of Object.entries(tokenizer.files)) files.set(name, content);
  const unfinished = `${request.target}.${randomBytes(6).toString("hex")}.partial`;
  await mkdir(unfinished, { recursive: true });
  try {
    for (const [name, content] of files) await writeFileAtomic(join(unfinished, name), content);
    const lowestCosine = await verifyExport(unfinished, description, checkpoint, request.model);
    await replaceFolder(unfinished, request.target);
    return { files: [...files.keys()], lowestCosine };
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

/** Writes a model of any family as our own checkpoint folder, which `loadModel` reads. */
export async function exportCheckpoint(request: ExportRequest, dtype: "F16" | "F32"): Promise<ExportResult> {
  await requireFree(request);
  const { name, architecture, weights, tokenizer, preprocessing } = await readCheckpoint(request.source);
  const card = await readFile(join(request.source, "README.md"), "utf8").catch(() => undefined);
  await saveModel(request.target, {
    name,
    architecture,
    weights,
    preprocessing,
    dtype,
    tokenizer: await readTokenizerSource(tokenizer, request.source),
    files: card === undefined ? {} : { "README.md": card },
  });
  return { files: (await readdir(request.target)).sort() };
}

/** @throws UserError bad-argument if the target stands and may not be replaced */
export async function requireFree({
  target,
  force,
}: {
  readonly target: string;
  readonly force?: boolean;
}): Promise<void> {
  const exists = await stat(target).then(
    () => true,
    () => false,
  );
  if (exists && !force) {
    throw new UserError("bad-argument", `${target}: must not exist yet, it does. Add --force to replace it.`);
  }
}

function describe(
  { preprocessing, tokenizer, architecture }: Checkpoint,
  model: FlorenceModel,
  towers: Towers,
  tokenizerConfig: NonNullable<ExportedModel["text"]>["tokenizer"],
  licence: string | undefined,
): ExportedModel {
  const length = textLengthOf(tokenizer.contextLength);
  return {
    format: "florence-export/1",
    name: model.name,
    fingerprint: model.fingerprint,
    precision: "float32",
    ...(licence === undefined ? {} : { licence }),
    embedding: architecture.embedding,
    logitScale: model.logitScale,
    ...(towers === "text" ? {} : { image: { file: "image.onnx", ...preprocessing } }),
    ...(towers === "image"
      ? {}
      : { text: { file: "text.onnx", length, padId: tokenizer.padId, tokenizer: tokenizerConfig } }),
  };
}
