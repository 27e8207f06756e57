import { UserError } from "../core/errors.ts";
import { type DynamicAxis, withDynamicAxes } from "../graph/dynamic-axes.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { input } from "../graph/tensor.ts";
import type { ExportedModel } from "../models/exported-model.ts";
import { textInputs } from "../models/text-encoder/text-batch.ts";
import { TwoTower } from "../models/two-tower.ts";
import { countParameters, namedParameters } from "../nn/module.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Texts of fewer tokens than this cannot show how a graph depends on their length. */
const shortestDynamicContext = 6;

/** Protobuf's limit of a message, less what the graph itself takes. */
const largestFile = 2 ** 31 - 2 ** 24;

/** Whether the text tower of a context length is exported for any number of tokens up to it. */
export function textLengthOf(contextLength: number): "dynamic" | "context" {
  return contextLength >= shortestDynamicContext ? "dynamic" : "context";
}

/**
 * The towers that `description` names as ONNX files with an open batch axis, by file name.
 *
 * Inputs: `pixels` uint8 [batch, size, size, 3]; `ids` int32 and `mask` float32 (1 a token, 0 padding) [batch, tokens].
 * Output: `embedding` float32 [batch, D], each row of length 1.
 *
 * @throws UserError `unsupported` naming an operator that cannot take any batch, `too-large` for a tower over 2 GiB
 */
export function encodeTowers(checkpoint: Checkpoint, description: ExportedModel): Map<string, Uint8Array> {
  const { architecture, weights } = checkpoint;
  const tower = new TwoTower(architecture);
  const parameters = namedParameters(tower);
  const metadata = metadataOf(description);
  const files = new Map<string, Uint8Array>();
  const { image, text } = description;
  if (image) requireOneFile(image.file, [tower.imageEncoder, tower.imageProjection]);
  if (text) requireOneFile(text.file, [tower.textEncoder, tower.textProjection]);
  if (image) {
    const { size } = image;
    const graph = withDynamicAxes([batchOf("pixels")], ({ batch = 1 }) => ({
      embedding: tower.embedImages(input("pixels", [batch, size, size, 3], "uint8"), { wholeBatch: true }),
    }));
    files.set(image.file, encodeOnnx({ ...graph, parameters, weights, metadata }).bytes);
  }
  if (text) {
    const { contextLength } = text.tokenizer;
    const tokens: DynamicAxis = { name: "tokens", probes: [3, 4, 5], input: "ids", axis: 1 };
    const axes = [batchOf("ids"), ...(text.length === "dynamic" ? [tokens] : [])];
    const graph = withDynamicAxes(axes, ({ batch = 1, tokens: length = contextLength }) => ({
      embedding: tower.embedTexts(textInputs(batch, length, "")),
    }));
    files.set(text.file, encodeOnnx({ ...graph, parameters, weights, metadata }).bytes);
  }
  return files;
}

/** Throws `too-large` for a tower that protobuf, which ONNX is written in, cannot hold. */
export function requireOneFile(file: string, modules: readonly (object | undefined)[]): void {
  const bytes = 4 * modules.reduce((sum, module) => sum + (module ? countParameters(module) : 0), 0);
  if (bytes <= largestFile) return;
  const rule = `${file}: must hold less than ${largestFile} bytes of weights, as an ONNX file can`;
  throw new UserError("too-large", `${rule}, got ${bytes}. Export the other tower alone, or safetensors.`);
}

function batchOf(name: string): DynamicAxis {
  return { name: "batch", probes: [2, 3, 5], input: name, axis: 0 };
}

/** What a file must say of itself when it is met without its folder. */
function metadataOf(description: ExportedModel): Record<string, string> {
  const { name, fingerprint, precision, licence } = description;
  return {
    name,
    fingerprint,
    precision,
    preprocessing: JSON.stringify(description),
    ...(licence === undefined ? {} : { licence }),
  };
}
