import type { Precision } from "../core/precision.ts";
import { encodeOnnx } from "../graph/onnx-encoding.ts";
import type { AnchorGrid } from "../models/detection/anchors.ts";
import { type DecodeOptions, decodeDetections, type FoundInPicture } from "../models/detection/decode-detections.ts";
import { Detector } from "../models/detection/detector.ts";
import { detectorGrid, detectorOutputsGraph } from "../models/detection/detector-graph.ts";
import { lastStride } from "../models/image-encoder/coswin.ts";
import { namedParameters } from "../nn/module.ts";
import { type Feed, InferenceSession } from "../runtime/inference-session.ts";
import type { NamedClasses } from "./detector-config.ts";
import { detectorFingerprint, type ReadDetector, readDetector } from "./detector-files.ts";
import { RecentlyUsed } from "./recently-used.ts";

/** What the owner of an engine in another thread knows of its detector. */
export interface DetectorFacts {
  readonly name: string;
  readonly fingerprint: string;
  readonly classes: NamedClasses;
  readonly embedDim: number | undefined;
  readonly preprocessing: ReadDetector["preprocessing"];
  readonly coarsestStride: number;
  readonly backbone: ReadDetector["backbone"];
}

export interface DetectorEngineOptions {
  readonly precision: Precision;
  readonly threads?: number | undefined;
}

/** Pictures of one size. */
export interface DetectorRun {
  readonly pixels: Uint8Array; // [count, height, width, 3]
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly texts?: Float32Array | undefined; // [K, D]
  readonly keepsLevel?: boolean | undefined; // whether the encoder's last level is wanted too
  readonly decode: Omit<DecodeOptions, "width" | "height">;
}

const rawOutputs = ["logits", "deltas", "centerness"] as const;

interface Engine {
  readonly session: InferenceSession;
  readonly grid: AnchorGrid;
}

/** Each holds a copy of the weights; pictures padded to whole strides come in a handful of sizes. */
const mostSessions = 6;

/**
 * A detector's weights and its sessions, one a size of picture, open in batch and labels. It computes in the calling
 * thread: it lives in a worker, see `detector-worker.ts`.
 */
export class DetectorEngine {
  readonly facts: DetectorFacts;
  readonly #detector: Detector;
  readonly #read: ReadDetector;
  readonly #options: DetectorEngineOptions;
  readonly #engines = new RecentlyUsed<Engine>(mostSessions, ({ session }) => session.release()); // by size

  private constructor(read: ReadDetector, options: DetectorEngineOptions) {
    const { name, architecture, classes, preprocessing } = read;
    this.#read = read;
    this.#options = options;
    this.#detector = new Detector(architecture);
    this.facts = {
      name,
      fingerprint: detectorFingerprint(read, options.precision),
      classes,
      embedDim: architecture.classes.kind === "text" ? architecture.classes.embedding : undefined,
      preprocessing,
      coarsestStride: architecture.strides.at(-1) as number,
      backbone: read.backbone,
    };
  }

  /** Strict: a missing, extra or misshapen tensor is an error that names it. */
  static async load(folder: string, options: DetectorEngineOptions): Promise<DetectorEngine> {
    return new DetectorEngine(await readDetector(folder), options);
  }

  /** One entry a picture; boxes in pixels of what was given. */
  async detect(run: DetectorRun): Promise<FoundInPicture[]> {
    const { height, width } = run;
    const load = () => this.#load(height, width);
    return this.#engines.use(`${height}×${width}`, load, (engine) => this.#detect(engine, run));
  }

  dispose(): Promise<void> {
    return this.#engines.dispose();
  }

  async #detect({ session, grid }: Engine, run: DetectorRun): Promise<FoundInPicture[]> {
    const { pixels, count, height, width, texts, decode, keepsLevel = false } = run;
    const feeds: Record<string, Feed> = { pixels: { data: pixels, dims: [count, height, width, 3] } };
    const { embedDim } = this.facts;
    if (texts && embedDim) feeds.texts = { data: texts, dims: [texts.length / embedDim, embedDim] };
    const raw = await session.runAll(feeds, [...rawOutputs, ...(keepsLevel ? (["level"] as const) : [])]);
    const classCount = raw.logits.length / raw.centerness.length;
    const found = decodeDetections(raw, grid, classCount, { ...decode, width, height });
    if (!keepsLevel) return found;
    const stride = lastStride(this.#detector.config.image);
    const size = { height: Math.ceil(height / stride), width: Math.ceil(width / stride) };
    const values = raw.level.length / count;
    return found.map((each, i) => ({
      ...each,
      level: { ...size, tokens: raw.level.slice(i * values, (i + 1) * values) },
    }));
  }

  async #load(height: number, width: number): Promise<Engine> {
    const { precision, threads } = this.#options;
    const encoded = encodeOnnx({
      ...detectorOutputsGraph(this.#detector, { height, width }),
      parameters: namedParameters(this.#detector),
      weights: this.#read.weights,
      precision,
      externalWeights: true,
      inference: true,
    });
    const session = await InferenceSession.load(encoded, threads);
    return { session, grid: detectorGrid(this.#detector, { height, width }) };
  }
}
