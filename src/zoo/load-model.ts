import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { RgbImage } from "../core/image.ts";
import type { Scoring } from "../core/scoring.ts";
import { encodeBatch } from "../data/tokenizers/tokenizer.ts";
import { preprocess } from "../data/transforms.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { textInputs } from "../models/text-encoder/text-batch.ts";
import { TwoTower } from "../models/two-tower.ts";
import { namedParameters } from "../nn/module.ts";
import { compile, type Program } from "../runtime/program.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type ReadOptions, readCheckpoint } from "./checkpoint-formats.ts";
import type { FlorenceModel } from "./florence-model.ts";
import { findModel } from "./model-names.ts";

/** Folder of the models that come with the package. */
const weightsFolder = fileURLToPath(new URL("../../weights", import.meta.url));

/** Batch sizes that programs are compiled for; a smaller batch is filled up to the next. */
const imageBatches = [1, 8, 32];
const textBatches = [1, 8, 32];
const textLengths = [8, 16, 32, 64, 128];

/**
 * Loads a bundled model by name, a checkpoint folder by path, or a model of the hub as `OWNER/NAME[@REV]`, which is
 * downloaded at its first use. Strict: a missing, extra or misshapen tensor is an
 * error that names it. With `imageSize` position embeddings are interpolated, as the family's own library does.
 */
export async function loadModel(nameOrDirectory: string, options: ReadOptions = {}): Promise<FlorenceModel> {
  const checkpoint = await readCheckpoint(await findModel(nameOrDirectory, { weightsFolder }), options);
  return new LoadedModel(checkpoint, fingerprintOf(checkpoint));
}

/** SHA-256 over everything that decides an embedding: weights by name, architecture, preprocessing, tokenizer. */
function fingerprintOf({ weights, architecture, preprocessing, tokenizer }: Checkpoint): string {
  const hash = createHash("sha256");
  for (const [name, data] of [...weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash
    .update(JSON.stringify([architecture, preprocessing]))
    .update(tokenizer.fingerprintParts)
    .digest("hex");
}

class LoadedModel implements FlorenceModel {
  readonly name: string;
  readonly fingerprint: string;
  readonly embedDim: number;
  readonly featureDim: number;
  readonly logitScale: number;
  readonly scoring: Scoring;
  readonly #checkpoint: Checkpoint;
  readonly #tower: TwoTower;
  readonly #programs = new Map<string, Promise<Program>>();

  constructor(checkpoint: Checkpoint, fingerprint: string) {
    this.name = checkpoint.name;
    this.fingerprint = fingerprint;
    this.embedDim = checkpoint.architecture.embedding;
    this.logitScale = Math.exp((checkpoint.weights.get("logitScale") as Float32Array)[0]);
    const bias = checkpoint.weights.get("logitBias")?.[0];
    this.scoring = bias === undefined ? { kind: "softmax" } : { kind: "sigmoid", bias };
    this.#checkpoint = checkpoint;
    this.#tower = new TwoTower(checkpoint.architecture);
    this.featureDim = this.#tower.imageEncoder.features;
  }

  embedImages(images: readonly RgbImage[]): Promise<Float32Array[]> {
    return this.#encodeImages("image", images, this.embedDim, (pixels) => this.#tower.embedImages(pixels));
  }

  imageFeatures(images: readonly RgbImage[]): Promise<Float32Array[]> {
    const { imageEncoder } = this.#tower;
    return this.#encodeImages("features", images, this.featureDim, (pixels) => imageEncoder.forward(pixels).pooled);
  }

  async #encodeImages(
    kind: string,
    images: readonly RgbImage[],
    dim: number,
    encode: (pixels: Tensor) => Tensor,
  ): Promise<Float32Array[]> {
    const { architecture, preprocessing } = this.#checkpoint;
    const { mean, std } = architecture.image;
    const { size } = preprocessing;
    const largest = imageBatches.at(-1) as number;
    const results: Float32Array[] = [];
    for (let from = 0; from < images.length; from += largest) {
      const group = images.slice(from, from + largest);
      const batch = sizeFor(imageBatches, group.length);
      const pixels = new Uint8Array(batch * size * size * 3);
      for (const [i, image] of group.entries())
        pixels.set(preprocess(image, { ...preprocessing, mean, std }), i * size * size * 3);
      const program = await this.#program(`${kind} ${batch}`, () => ({
        rows: encode(input("pixels", [batch, size, size, 3], "uint8")),
      }));
      const { rows } = await program.run({ pixels });
      results.push(...rowsOf(rows as Float32Array, dim, group.length));
    }
    return results;
  }

  async embedTexts(texts: readonly string[]): Promise<Float32Array[]> {
    const { tokenizer } = this.#checkpoint;
    const largest = textBatches.at(-1) as number;
    const results: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += largest) {
      const group = texts.slice(from, from + largest);
      const batch = sizeFor(textBatches, group.length);
      const padded = [...group, ...new Array<string>(batch - group.length).fill("")];
      const encoded = encodeBatch(tokenizer, padded);
      const length = Math.min(sizeFor(textLengths, encoded.length), tokenizer.contextLength);
      const ids = new Int32Array(batch * length).fill(tokenizer.padId);
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
      program = compile({
        outputs: outputs(),
        parameters: namedParameters(this.#tower),
        weights: this.#checkpoint.weights,
      });
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
