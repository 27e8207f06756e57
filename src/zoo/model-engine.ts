import { createHash } from "node:crypto";
import { UserError } from "../core/errors.ts";
import type { Precision } from "../core/precision.ts";
import type { Scoring } from "../core/scoring.ts";
import type { DynamicGraph } from "../graph/dynamic-axes.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { imageTowerGraph, textLengthOf, textTowerGraph, textTreeGraph } from "../models/tower-graphs.ts";
import { TwoTower } from "../models/two-tower.ts";
import { namedParameters, type Weights } from "../nn/module.ts";
import { freeBuffers } from "../runtime/free-buffers.ts";
import { InferenceSession, type SessionFile } from "../runtime/inference-session.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { type ImageRun, type ImagesPayload, runImages } from "./image-run.ts";
import { givesRegions, RegionEngine, type RegionRun } from "./region-engine.ts";
import { embedTokenized } from "./text-batches.ts";
import { embedTextTrees, feedsOfTree } from "./text-trees.ts";

/** What the owner of an engine in another thread knows of its model. */
export interface ModelFacts {
  readonly name: string;
  readonly fingerprint: string;
  readonly embedDim: number;
  readonly featureDim: number;
  readonly logitScale: number;
  readonly scoring: Scoring;
  readonly preprocessing: Checkpoint["preprocessing"];
  readonly givesRegions: boolean;
  /** Values in the image tower's weights. */
  readonly imageParameters: number;
}

export interface EngineOptions {
  readonly precision: Precision;
  /** All processors if left out. */
  readonly threads?: number | undefined;
  /** Side of the square that pictures become, if not the model's own. */
  readonly imageSize?: number | undefined;
}

type Tower = "image" | "text";

/**
 * A model's weights and its two sessions, one a tower, loaded when first used and open in batch and text length. It
 * computes in the calling thread: it lives in a worker, see `model-worker.ts`.
 */
export class ModelEngine {
  readonly facts: ModelFacts;
  readonly #checkpoint: Checkpoint;
  readonly #options: EngineOptions;
  readonly #tower: TwoTower;
  readonly #sessions = new Map<Tower, Promise<InferenceSession>>();
  readonly #folder: string;
  #regions: Promise<RegionEngine> | undefined;

  private constructor(folder: string, checkpoint: Checkpoint, options: EngineOptions) {
    this.#folder = folder;
    const { weights, name, architecture, preprocessing } = checkpoint;
    this.#checkpoint = checkpoint;
    this.#options = options;
    this.#tower = new TwoTower(architecture);
    const bias = weights.get("logitBias")?.[0];
    this.facts = {
      name,
      fingerprint: fingerprintOf(checkpoint, options.precision),
      embedDim: architecture.embedding,
      featureDim: this.#tower.imageEncoder.features,
      logitScale: Math.exp((weights.get("logitScale") as Float32Array)[0]),
      scoring: bias === undefined ? { kind: "softmax" } : { kind: "sigmoid", bias },
      preprocessing,
      givesRegions: givesRegions(architecture),
      imageParameters: countOf(weights, "image"),
    };
  }

  /** Strict: a missing, extra or misshapen tensor is an error that names it. */
  static async load(folder: string, options: EngineOptions): Promise<ModelEngine> {
    return new ModelEngine(folder, await readCheckpoint(folder, options), options);
  }

  async images(payload: ImagesPayload): Promise<ImageRun> {
    const { size } = this.#checkpoint.preprocessing;
    return runImages(await this.#session("image", () => imageTowerGraph(this.#tower, size)), size, payload);
  }

  /**
   * The image tower for sessions in other threads, its weights to be handed over to them: most who ask for it never use
   * the session that this engine could make of them.
   */
  async imageTower(): Promise<SessionFile> {
    const weights = await this.#take("image");
    const { bytes, external } = this.#encode(
      imageTowerGraph(this.#tower, this.#checkpoint.preprocessing.size),
      weights,
    );
    const own = new Set<unknown>(weights.values());
    const given = external.map(({ path, data }) => {
      // Constants are the graph's, and may be used again; weights in bytes were made just now.
      const isOurs = data instanceof Int8Array || (own.has(data) && !this.#isHeld(data));
      return { path, data: isOurs ? data : data.slice() };
    });
    this.#free(weights, new Set(given.map(({ data }) => data.buffer)));
    return { bytes, external: given };
  }

  /** Boxes of one picture of any size. @returns  [R, D] */
  async regions(run: RegionRun): Promise<Float32Array> {
    // The image tower's weights may have gone to its session by now, and few ask for both: they are read once more.
    this.#regions ??= this.#readAgain().then((read) => new RegionEngine(read, this.#options));
    const regions = this.#regions;
    regions.catch(() => {
      this.#regions = undefined; // the next call tries again
    });
    return (await regions).embed(run);
  }

  /** @returns  [texts, D], in the order of the texts */
  async texts(texts: readonly string[], signal: AbortSignal): Promise<Float32Array> {
    const { tokenizer, architecture } = this.#checkpoint;
    const width = architecture.embedding;
    if (this.#tower.readsTextTrees) {
      const session = await this.#session("text", () => textTreeGraph(this.#tower));
      return embedTextTrees(texts, {
        tokenizer,
        width,
        run: (tree) => session.run(feedsOfTree(tree), "embedding"),
        signal,
      });
    }
    const session = await this.#session("text", () => textTowerGraph(this.#tower, tokenizer.contextLength));
    const isOpen = textLengthOf(tokenizer.contextLength) === "dynamic";
    const run = (ids: Int32Array, mask: Float32Array, rows: number) => {
      const dims = [rows, ids.length / rows];
      return session.run({ ids: { data: ids, dims }, mask: { data: mask, dims } }, "embedding");
    };
    return embedTokenized(texts, { tokenizer, isOpen, width, run, signal });
  }

  async dispose(): Promise<void> {
    const sessions = await Promise.allSettled(this.#sessions.values());
    this.#sessions.clear();
    await (await this.#regions?.catch(() => undefined))?.dispose(); // whoever asked for them was told of a failure
    for (const session of sessions) if (session.status === "fulfilled") await session.value.release();
  }

  #session(tower: Tower, graph: () => DynamicGraph): Promise<InferenceSession> {
    let session = this.#sessions.get(tower);
    if (!session) {
      session = this.#load(tower, graph());
      this.#sessions.set(tower, session);
      session.catch(() => this.#sessions.delete(tower)); // the next call tries again
    }
    return session;
  }

  /** The runtime keeps its own, packed copy of the weights, so ours are dropped. */
  async #load(tower: Tower, graph: DynamicGraph): Promise<InferenceSession> {
    const weights = await this.#take(tower);
    const session = await InferenceSession.load(this.#encode(graph, weights), this.#options.threads);
    this.#free(weights);
    return session;
  }

  #encode(graph: DynamicGraph, weights: Weights): SessionFile {
    const parameters = namedParameters(this.#tower);
    const { precision } = this.#options;
    return encodeOnnx({ ...graph, parameters, weights, precision, externalWeights: true, inference: true });
  }

  /** A tower's weights, which are not held any more; read once more if they were taken before: few ask twice. */
  async #take(tower: Tower): Promise<Weights> {
    const { weights } = this.#checkpoint;
    const isHeld = countOf(weights, tower) > 0;
    const source = isHeld ? weights : (await this.#readAgain()).weights;
    const taken = new Map([...source].filter(([name]) => name.startsWith(tower)));
    for (const name of taken.keys()) source.delete(name);
    if (!isHeld) this.#free(source, new Set([...taken.values()].map(({ buffer }) => buffer)));
    return taken;
  }

  /** The checkpoint once more, if it is still the one that was loaded: other weights have another fingerprint. */
  async #readAgain(): Promise<Checkpoint> {
    const read = await readCheckpoint(this.#folder, this.#options);
    if (fingerprintOf(read, this.#options.precision) === this.facts.fingerprint) return read;
    const rule = `${this.#folder}: must hold the weights that the model was loaded from, they have changed since`;
    throw new UserError("mismatch", `${rule}. Load the model again.`);
  }

  /** Frees the memory of weights that were taken, except for buffers that go elsewhere. */
  #free(weights: Weights, given: ReadonlySet<ArrayBufferLike> = new Set()): void {
    const buffers = new Set<ArrayBuffer>();
    for (const data of weights.values()) {
      if (data.buffer instanceof ArrayBuffer && !given.has(data.buffer) && !this.#isHeld(data))
        buffers.add(data.buffer);
    }
    freeBuffers(buffers);
  }

  /** Whether weights that are held, of the other tower say, are in the same buffer. */
  #isHeld({ buffer }: ArrayBufferView): boolean {
    return [...this.#checkpoint.weights.values()].some((data) => data.buffer === buffer);
  }
}

function countOf(weights: Weights, tower: Tower): number {
  let count = 0;
  for (const [name, { length }] of weights) if (name.startsWith(tower)) count += length;
  return count;
}

/** SHA-256 over everything that decides an embedding: weights by name, architecture, preprocessing, tokenizer, precision. */
function fingerprintOf({ weights, architecture, preprocessing, tokenizer }: Checkpoint, precision: Precision): string {
  const hash = createHash("sha256");
  for (const [name, data] of [...weights].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${name}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  hash.update(JSON.stringify([architecture, preprocessing])).update(tokenizer.fingerprintParts);
  if (precision !== "float32") hash.update(`\nprecision ${precision}`); // float32 keeps the fingerprint of its files
  return hash.digest("hex");
}
