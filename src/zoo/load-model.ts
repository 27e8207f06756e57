import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { encodeBatch, type Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { preprocess } from "../data/transforms.ts";
import { input } from "../graph/tensor.ts";
import { readSafetensors } from "../io/safetensors.ts";
import { readUtf8 } from "../io/text-files.ts";
import { textInputs } from "../models/text-encoder/text-batch.ts";
import { TwoTower } from "../models/two-tower.ts";
import { namedParameters, type Weights } from "../nn/module.ts";
import { compile, type Program } from "../runtime/program.ts";
import { modelFolder } from "./bundled-models.ts";
import type { FlorenceModel } from "./florence-model.ts";
import { type ModelConfig, modelConfigSchema } from "./model-config.ts";
import { readTokenizer } from "./tokenizer-files.ts";

/** Folder of the models that come with the package. */
const weightsFolder = fileURLToPath(new URL("../../weights", import.meta.url));

/** Batch sizes that programs are compiled for; a smaller batch is filled up to the next. */
const imageBatches = [1, 8, 32];
const textBatches = [1, 8, 32];
const textLengths = [8, 16, 32, 64, 128];

/**
 * Loads a bundled model by name or a checkpoint folder by path. Strict: a missing, extra or misshapen tensor is an
 * error that names it.
 */
export async function loadModel(nameOrDirectory: string): Promise<FlorenceModel> {
  const folder = await modelFolder(weightsFolder, nameOrDirectory);
  const configPath = join(folder, "config.json");
  const config = parseConfig(await readUtf8(configPath), configPath);
  const tokenizer = await readTokenizer(folder, config.tokenizer);
  if (tokenizer.vocabularySize !== config.architecture.text.vocabulary) {
    throw new UserError(
      "mismatch",
      `${folder}: the tokenizer must have ${config.architecture.text.vocabulary} ids, as the model, got ${tokenizer.vocabularySize}.`,
    );
  }
  const weightsPath = join(folder, "model.safetensors");
  const { tensors } = await readSafetensors(weightsPath);
  const tower = new TwoTower(config.architecture);
  const weights: Weights = new Map();
  const parameters = namedParameters(tower);
  for (const [name, { shape }] of parameters) {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new UserError("mismatch", `${weightsPath}: must hold ${name} [${shape.join(", ")}], it is missing.`);
    if (tensor.shape.join() !== shape.join()) {
      throw new UserError(
        "mismatch",
        `${weightsPath}: ${name} must be [${shape.join(", ")}], got [${tensor.shape.join(", ")}].`,
      );
    }
    weights.set(name, tensor.data);
  }
  for (const name of tensors.keys()) {
    if (!parameters.has(name))
      throw new UserError("mismatch", `${weightsPath}: ${name} must not be there, the model has no such parameter.`);
  }
  const fingerprint = createHash("sha256")
    .update(await readFile(weightsPath))
    .update(JSON.stringify([config.architecture, config.preprocessing]))
    .update(tokenizer.fingerprintParts)
    .digest("hex");
  return new LoadedModel(config, tower, weights, tokenizer, fingerprint);
}

class LoadedModel implements FlorenceModel {
  readonly name: string;
  readonly fingerprint: string;
  readonly embedDim: number;
  readonly logitScale: number;
  readonly #config: ModelConfig;
  readonly #tower: TwoTower;
  readonly #weights: Weights;
  readonly #tokenizer: Tokenizer;
  readonly #programs = new Map<string, Promise<Program>>();

  constructor(config: ModelConfig, tower: TwoTower, weights: Weights, tokenizer: Tokenizer, fingerprint: string) {
    this.name = config.name;
    this.fingerprint = fingerprint;
    this.embedDim = config.architecture.embedding;
    this.logitScale = Math.exp((weights.get("logitScale") as Float32Array)[0]);
    this.#config = config;
    this.#tower = tower;
    this.#weights = weights;
    this.#tokenizer = tokenizer;
  }

  async embedImages(images: readonly RgbImage[]): Promise<Float32Array[]> {
    const { mean, std } = this.#config.architecture.image;
    const { preprocessing } = this.#config;
    const { size } = preprocessing;
    const largest = imageBatches.at(-1) as number;
    const results: Float32Array[] = [];
    for (let from = 0; from < images.length; from += largest) {
      const group = images.slice(from, from + largest);
      const batch = sizeFor(imageBatches, group.length);
      const pixels = new Uint8Array(batch * size * size * 3);
      for (const [i, image] of group.entries())
        pixels.set(preprocess(image, { ...preprocessing, mean, std }), i * size * size * 3);
      const program = await this.#program(`image ${batch}`, () => ({
        embedding: this.#tower.embedImages(input("pixels", [batch, size, size, 3], "uint8")),
      }));
      const { embedding } = await program.run({ pixels });
      results.push(...rowsOf(embedding as Float32Array, this.embedDim, group.length));
    }
    return results;
  }

  async embedTexts(texts: readonly string[]): Promise<Float32Array[]> {
    const largest = textBatches.at(-1) as number;
    const results: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += largest) {
      const group = texts.slice(from, from + largest);
      const batch = sizeFor(textBatches, group.length);
      const padded = [...group, ...new Array<string>(batch - group.length).fill("")];
      const encoded = encodeBatch(this.#tokenizer, padded);
      const length = Math.min(sizeFor(textLengths, encoded.length), this.#tokenizer.contextLength);
      const ids = new Int32Array(batch * length).fill(this.#tokenizer.padId);
      const mask = new Float32Array(batch * length);
      for (let row = 0; row < batch; row++) {
        const start = row * encoded.length;
        ids.set(encoded.ids.subarray(start, start + encoded.length), row * length);
        mask.set(encoded.mask.subarray(start, start + encoded.length), row * length);
      }
      const program = await this.#program(`text ${batch} ${length}`, () => ({
        embedding: this.#tower.embedTexts(textInputs(batch, length)),
      }));
      const { embedding } = await program.run({ "text.ids": ids, "text.mask": mask });
      results.push(...rowsOf(embedding as Float32Array, this.embedDim, group.length));
    }
    return results;
  }

  async dispose(): Promise<void> {
    const programs = await Promise.all(this.#programs.values());
    this.#programs.clear();
    for (const program of programs) await program.dispose();
  }

  #program(key: string, outputs: () => Parameters<typeof compile>[0]["outputs"]): Promise<Program> {
    let program = this.#programs.get(key);
    if (!program) {
      program = compile({ outputs: outputs(), parameters: namedParameters(this.#tower), weights: this.#weights });
      this.#programs.set(key, program);
    }
    return program;
  }
}

/** The smallest of `sizes` that holds `count`, else the largest. */
function sizeFor(sizes: readonly number[], count: number): number {
  return sizes.find((size) => size >= count) ?? (sizes.at(-1) as number);
}

function rowsOf(matrix: Float32Array, width: number, rows: number): Float32Array[] {
  return Array.from({ length: rows }, (_, i) => matrix.slice(i * width, (i + 1) * width));
}

function parseConfig(text: string, path: string): ModelConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be JSON, got: ${(error as Error).message}.`, { cause: error });
  }
  const result = modelConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new UserError("unsupported", `${path}: ${issue?.path.join(".")} is not right: ${issue?.message}.`);
}
