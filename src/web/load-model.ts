/// <reference lib="dom" preserve="true" />
import * as ort from "onnxruntime-web/wasm";
import { UserError } from "../core/errors.ts";
import { ClipTokenizer } from "../data/tokenizers/clip-bpe.ts";
import { encodeBatch, type Tokenizer } from "../data/tokenizers/tokenizer.ts";
import { parseVocabulary, WordPieceTokenizer } from "../data/tokenizers/wordpiece.ts";
import { preprocess } from "../data/transforms.ts";
import { type ExportedModel, exportedModelSchema } from "../models/exported-model.ts";
import type { CallOptions } from "./aborting.ts";
import { createSession, type LoadOptions, openExportedFolder } from "./exported-folder.ts";
import { fetchFile } from "./fetch-file.ts";
import { decodeImage, type ImageSource } from "./image-decoding.ts";
import { SharedLoad } from "./shared-load.ts";
import { WebSessions } from "./web-sessions.ts";

/** A model in the browser: as `FlorenceModel` in Node, pictures given in any form the browser decodes. */
export interface WebModel {
  readonly name: string;
  readonly fingerprint: string;
  /** Length of every embedding. */
  readonly embedDim: number;
  /** The learnt factor on cosine similarities before a softmax. */
  readonly logitScale: number;
  /** L2-normalised embeddings, one an image, in order. */
  embedImages(images: readonly ImageSource[], options?: CallOptions): Promise<Float32Array[]>;
  /** L2-normalised embeddings, one a text, in order. */
  embedTexts(texts: readonly string[], options?: CallOptions): Promise<Float32Array[]>;
  /** Frees the sessions; the model is unusable afterwards, and calls under way reject. */
  dispose(): Promise<void>;
}

const imagesPerRun = 8;
const textsPerRun = 32;

/**
 * Loads a folder written by `florence export --format onnx`. A tower is fetched when it is first used.
 *
 * @param address  of the folder
 * @throws UserError naming the file that is missing or not as it should be; the signal's reason after an abort
 */
export async function loadModel(address: string | URL, options: LoadOptions = {}): Promise<WebModel> {
  const { folder, description } = await openExportedFolder(
    address,
    exportedModelSchema,
    "Export the model anew.",
    options,
  );
  return new ExportedWebModel(folder, description);
}

class ExportedWebModel implements WebModel {
  readonly #folder: URL;
  readonly #description: ExportedModel;
  readonly #sessions: WebSessions;
  readonly #tokenizer: SharedLoad<Tokenizer> | undefined;

  constructor(folder: URL, description: ExportedModel) {
    this.#folder = folder;
    this.#description = description;
    this.#sessions = new WebSessions(description.name, (file, options) => createSession(folder, file, options));
    const { text } = description;
    if (text) this.#tokenizer = new SharedLoad((options) => readTokenizer(folder, text.tokenizer, options));
  }

  get name(): string {
    return this.#description.name;
  }

  get fingerprint(): string {
    return this.#description.fingerprint;
  }

  get embedDim(): number {
    return this.#description.embedding;
  }

  get logitScale(): number {
    return this.#description.logitScale;
  }

  async embedImages(images: readonly ImageSource[], options: CallOptions = {}): Promise<Float32Array[]> {
    this.#requireReady(options);
    const { image } = this.#description;
    if (!image) throw this.#missing("image");
    const { size } = image;
    const results: Float32Array[] = [];
    for (let from = 0; from < images.length; from += imagesPerRun) {
      const group = images.slice(from, from + imagesPerRun);
      const pixels = new Uint8Array(group.length * size * size * 3);
      for (const [i, source] of group.entries()) {
        this.#sessions.requireOpen(); // before a picture is fetched in vain
        pixels.set(preprocess(await decodeImage(source, options), image), i * size * size * 3);
      }
      const feeds = { pixels: new ort.Tensor("uint8", pixels, [group.length, size, size, 3]) };
      results.push(...(await this.#run(image.file, feeds, group.length, options)));
    }
    return results;
  }

  async embedTexts(texts: readonly string[], options: CallOptions = {}): Promise<Float32Array[]> {
    this.#requireReady(options);
    const { text } = this.#description;
    if (!text || !this.#tokenizer) throw this.#missing("text");
    const tokenizer = await this.#tokenizer.get(options);
    const minimum = text.length === "context" ? tokenizer.contextLength : 0;
    const results: Float32Array[] = [];
    for (let from = 0; from < texts.length; from += textsPerRun) {
      const group = texts.slice(from, from + textsPerRun);
      const { ids, mask, length } = encodeBatch(tokenizer, group, minimum);
      const dims = [group.length, length];
      const feeds = { ids: new ort.Tensor("int32", ids, dims), mask: new ort.Tensor("float32", mask, dims) };
      results.push(...(await this.#run(text.file, feeds, group.length, options)));
    }
    return results;
  }

  async dispose(): Promise<void> {
    const disposed = this.#sessions.dispose(); // first, so that nobody asks for the tokenizer any more
    await Promise.all([disposed, this.#tokenizer?.close(this.#sessions.disposedError)]);
  }

  async #run(
    file: string,
    feeds: Record<string, ort.Tensor>,
    rows: number,
    options: CallOptions,
  ): Promise<Float32Array[]> {
    const { embedding } = await this.#sessions.run(file, feeds, options);
    const matrix = embedding?.data as Float32Array;
    return Array.from({ length: rows }, (_, i) => matrix.slice(i * this.embedDim, (i + 1) * this.embedDim));
  }

  #requireReady({ signal }: CallOptions): void {
    this.#sessions.requireOpen();
    signal?.throwIfAborted();
  }

  #missing(tower: string): UserError {
    const rule = `${this.#folder.href}: must hold the ${tower} tower, it was exported without`;
    return new UserError("unsupported", `${rule}. Export it with --towers both.`);
  }
}

async function readTokenizer(
  folder: URL,
  config: NonNullable<ExportedModel["text"]>["tokenizer"],
  options: CallOptions,
): Promise<Tokenizer> {
  const file = config.kind === "wordpiece" ? config.vocabulary : config.merges;
  const text = await fetchFile(new URL(file, folder).href, (response) => response.text(), options);
  return config.kind === "wordpiece"
    ? new WordPieceTokenizer({ vocabulary: parseVocabulary(text), contextLength: config.contextLength })
    : new ClipTokenizer({ ...config, mergesText: text });
}
