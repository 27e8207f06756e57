import type { EncoderLevel } from "../core/encoder-level.ts";
import type { Precision } from "../core/precision.ts";
import type { DynamicGraph } from "../graph/dynamic-axes.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import { levelRegionGraph, type RegionEmbedder, regionGraph } from "../models/detection/region-embeddings.ts";
import { CoSwin, type CoSwinConfig, lastStride, ownWindow } from "../models/image-encoder/coswin.ts";
import { resizeWeights } from "../models/resize-weights.ts";
import { TwoTower } from "../models/two-tower.ts";
import { namedParameters } from "../nn/module.ts";
import { InferenceSession } from "../runtime/inference-session.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { RecentlyUsed } from "./recently-used.ts";

/** A picture and boxes of it. */
export interface PictureRegions {
  readonly pixels: Uint8Array; // [height, width, 3]
  readonly width: number;
  readonly height: number;
  readonly boxesXyxy: Float32Array; // [R, 4], pixels of the picture
}

/** What this encoder made of a picture already, and boxes of that picture. */
export interface LevelRegions {
  readonly level: EncoderLevel;
  readonly boxesXyxy: Float32Array; // [R, 4], pixels of the picture
}

export type RegionRun = PictureRegions | LevelRegions;

interface RegionEngineOptions {
  readonly precision: Precision;
  readonly threads?: number | undefined;
}

const encoderPrefix = "imageEncoder.";

/** Each holds a copy of the encoder's weights; a detector's canvases come in a handful of sizes. */
const mostSessions = 4;

/**
 * The image half of a two-tower model on whole pictures, for embeddings of their boxes: one session a size of picture,
 * open in the number of boxes. The encoder's windows stay as wide as in the pictures it was trained on.
 */
export class RegionEngine {
  readonly #checkpoint: Checkpoint;
  readonly #image: CoSwinConfig;
  readonly #options: RegionEngineOptions;
  readonly #sessions = new RecentlyUsed<InferenceSession>(mostSessions, (session) => session.release()); // by size

  /** @param checkpoint  of an image encoder that {@link givesRegions} */
  constructor(checkpoint: Checkpoint, options: RegionEngineOptions) {
    this.#checkpoint = checkpoint;
    this.#image = checkpoint.architecture.image as CoSwinConfig;
    this.#options = options;
  }

  /** @returns  [R, D], rows of length 1 */
  async embed(run: RegionRun): Promise<Float32Array> {
    if ("level" in run) return this.#embedLevel(run);
    const { pixels, width, height, boxesXyxy } = this.#inWholeStrides(run);
    const load = () => {
      const config = { ...this.#image, imageSize: Math.max(height, width), window: ownWindow(this.#image) };
      const size = { height, width, stride: lastStride(config) };
      return this.#load(config, (embedder) => regionGraph(embedder, size));
    };
    const feeds = {
      pixels: { data: pixels, dims: [1, height, width, 3] },
      boxes: { data: boxesXyxy, dims: [1, boxesXyxy.length / 4, 4] },
    };
    return this.#sessions.use(`${height}×${width}`, load, (session) => session.run(feeds, "embedding"));
  }

  async #embedLevel({ level: { tokens, height, width }, boxesXyxy }: LevelRegions): Promise<Float32Array> {
    const size = { height, width, stride: lastStride(this.#image) };
    const load = () => this.#load(this.#image, (embedder) => levelRegionGraph(embedder, size));
    const feeds = {
      level: { data: tokens, dims: [1, height * width, tokens.length / (height * width)] },
      boxes: { data: boxesXyxy, dims: [1, boxesXyxy.length / 4, 4] },
    };
    return this.#sessions.use(`level ${height}×${width}`, load, (session) => session.run(feeds, "embedding"));
  }

  dispose(): Promise<void> {
    return this.#sessions.dispose();
  }

  /** With grey on the right and below up to whole tokens of the last level. */
  #inWholeStrides(run: PictureRegions): PictureRegions {
    const stride = lastStride(this.#image);
    const [width, height] = [run.width, run.height].map((side) => Math.ceil(side / stride) * stride) as [
      number,
      number,
    ];
    if (width === run.width && height === run.height) return run;
    const pixels = new Uint8Array(width * height * 3).fill(grey);
    for (let row = 0; row < run.height; row++) {
      const from = row * run.width * 3;
      pixels.set(run.pixels.subarray(from, from + run.width * 3), row * width * 3);
    }
    return { ...run, pixels, width, height };
  }

  async #load(config: CoSwinConfig, graph: (embedder: RegionEmbedder) => DynamicGraph): Promise<InferenceSession> {
    const { architecture, weights } = this.#checkpoint;
    const imageEncoder = new CoSwin(config);
    const { imageProjection } = new TwoTower(architecture);
    const own = [...weights].filter(([name]) => name.startsWith(encoderPrefix));
    const resized = resizeWeights(imageEncoder, new Map(own.map(([n, data]) => [n.slice(encoderPrefix.length), data])));
    const values = new Map([...resized].map(([name, data]) => [encoderPrefix + name, data]));
    for (const [name, data] of weights) if (name.startsWith("imageProjection.")) values.set(name, data);
    const embedder = { imageEncoder, imageProjection };
    const encoded = encodeOnnx({
      ...graph(embedder),
      parameters: namedParameters(embedder),
      weights: values,
      precision: this.#options.precision,
      externalWeights: true,
      inference: true,
    });
    return InferenceSession.load(encoded, this.#options.threads);
  }
}

const grey = 114;

/** Whether an image encoder gives the maps that regions are read from. */
export function givesRegions({ image }: Checkpoint["architecture"]): boolean {
  return image.kind === "coswin";
}
