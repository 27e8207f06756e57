import { UserError } from "../core/errors.ts";
import type { DynamicGraph } from "../graph/dynamic-axes.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import type { AnyExportedModel } from "../models/exported-model.ts";
import { imageTowerGraph, onlyOutput, textTowerGraph } from "../models/tower-graphs.ts";
import { TwoTower } from "../models/two-tower.ts";
import { countParameters, namedParameters } from "../nn/module.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Protobuf's limit of a message, less what the graph itself takes. */
const largestFile = 2 ** 31 - 2 ** 24;

/**
 * The towers that `description` names as ONNX files with an open batch axis, by file name.
 *
 * Inputs: `pixels` uint8 [batch, size, size, 3]; `ids` int32 and `mask` float32 (1 a token, 0 padding) [batch, tokens].
 * Output: `embedding` float32 [batch, D], each row of length 1.
 *
 * @param begin  waited for before each piece of work that holds the thread; may throw to end it
 * @throws UserError `unsupported` naming an operator that cannot take any batch, `too-large` for a tower over 2 GiB
 */
export async function encodeTowers(
  checkpoint: Checkpoint,
  description: AnyExportedModel,
  begin: (phase: string) => Promise<void> = async () => undefined,
): Promise<Map<string, Uint8Array>> {
  const { architecture, weights } = checkpoint;
  const tower = new TwoTower(architecture);
  const parameters = namedParameters(tower);
  const metadata = metadataOf(description);
  const files = new Map<string, Uint8Array>();
  const { image, text } = description;
  if (image) requireOneFile(image.file, [tower.imageEncoder, tower.imageProjection]);
  if (text) requireOneFile(text.file, [tower.textEncoder, tower.textProjection]);
  const { precision } = description;
  const encode = async (file: string, build: () => DynamicGraph): Promise<void> => {
    await begin(`building ${file}`);
    const graph = onlyOutput(build(), "embedding");
    await begin(`encoding ${file}`);
    files.set(file, encodeOnnx({ ...graph, parameters, weights, metadata, precision }).bytes);
  };
  if (image) await encode(image.file, () => imageTowerGraph(tower, image.size));
  if (text) await encode(text.file, () => textTowerGraph(tower, text.tokenizer.contextLength, text.length));
  return files;
}

/** Throws `too-large` for a tower that protobuf, which ONNX is written in, cannot hold. */
export function requireOneFile(file: string, modules: readonly (object | undefined)[]): void {
  const bytes = 4 * modules.reduce((sum, module) => sum + (module ? countParameters(module) : 0), 0);
  if (bytes <= largestFile) return;
  const rule = `${file}: must hold less than ${largestFile} bytes of weights, as an ONNX file can`;
  throw new UserError("too-large", `${rule}, got ${bytes}. Export the other tower alone, or safetensors.`);
}

/** What a file must say of itself when it is met without its folder. */
function metadataOf(description: AnyExportedModel): Record<string, string> {
  const { name, fingerprint, precision, licence } = description;
  return {
    name,
    fingerprint,
    precision,
    preprocessing: JSON.stringify(description),
    ...(licence === undefined ? {} : { licence }),
  };
}
