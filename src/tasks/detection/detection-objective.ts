import { ShapeError } from "../../core/errors.ts";
import { gradients } from "../../graph/gradients.ts";
import { input, type Tensor } from "../../graph/tensor.ts";
import type { WeightTensor } from "../../io/safetensors.ts";
import type { AnchorGrid } from "../../models/detection/anchors.ts";
import type { Detector } from "../../models/detection/detector.ts";
import { namedParameters } from "../../nn/module.ts";
import type { FeedData } from "../../runtime/program.ts";
import { ShardedProgram, shardingOf } from "../../runtime/sharded-program.ts";
import { NextBatch } from "../next-batch.ts";
import type { Objective, StepResult } from "../objective.ts";
import { anchorTargets, type ObjectAnnotations } from "./assignment.ts";
import { detectionLosses, targetInputs } from "./losses.ts";

/** Pictures of one size with their objects. */
export interface DetectionBatch {
  readonly pixels: Uint8Array; // [B, height, width, 3] RGB
  readonly height: number;
  readonly width: number;
  readonly objects: readonly ObjectAnnotations[]; // [B]
  readonly texts?: Float32Array; // [K, D] class embeddings of length 1, for a detector whose classes are texts
}

export interface DetectionObjectiveOptions {
  readonly detector: Detector;
  readonly weights: ReadonlyMap<string, WeightTensor>; // to be learnt, some or all of `detector.learnable`
  readonly frozenWeights?: ReadonlyMap<string, Float32Array>; // all parameters of those that are not in `weights`
  readonly batch: number;
  readonly recompute?: boolean; // the encoder's activations in the backward pass: slower, less memory
  readonly threads?: number; // that compute; as `shardingOf` has it if left out
  /** The batch of a step, a pure function of its number. Each size of picture costs a compilation once. */
  batchAt(step: number): DetectionBatch | Promise<DetectionBatch>;
}

interface Engine {
  readonly program: ShardedProgram;
  readonly grid: AnchorGrid;
}

const gradientPrefix = "gradient/";

/** Parts of the last step's loss, for logs. */
export interface LossParts {
  readonly classification: number;
  readonly boxes: number;
  readonly centerness: number;
  readonly positives: number; // anchors that have an object
}

/**
 * Detection training as an objective: ATSS assignment on this side, losses and gradients in one program, of which parts of
 * the batch are run side by side.
 */
export class DetectionObjective implements Objective {
  readonly weights: ReadonlyMap<string, WeightTensor>;
  readonly samplesPerStep: number;
  readonly #options: DetectionObjectiveOptions;
  readonly #engines = new Map<string, Engine>(); // by size of picture and number of texts
  readonly #batches: NextBatch<DetectionBatch>;
  #lastParts: LossParts | undefined;

  constructor(options: DetectionObjectiveOptions) {
    this.weights = options.weights;
    this.samplesPerStep = options.batch;
    this.#options = options;
    this.#batches = new NextBatch((step) => options.batchAt(step));
  }

  get lastParts(): LossParts | undefined {
    return this.#lastParts;
  }

  async step(step: number): Promise<StepResult> {
    const data = await this.#batches.take(step);
    if (data.objects.length !== this.#options.batch) {
      throw new ShapeError(
        `DetectionObjective: a batch must have ${this.#options.batch} pictures, got ${data.objects.length}`,
      );
    }
    this.#checkClasses(data);
    const { program, grid } = await this.#engineFor(data);
    const targets = batchTargets(grid, data.objects);
    const positives = targets.classes.reduce((count, id) => count + (id >= 0 ? 1 : 0), 0);
    const shared = new Map<string, FeedData>([...this.weights].map(([name, tensor]) => [name, tensor.data]));
    shared.set("targets/positives", Float32Array.of(positives));
    shared.set("targets/centernessSum", Float32Array.of(targets.centerness.reduce((total, value) => total + value, 0)));
    if (data.texts) shared.set("texts", data.texts);
    const parts = Array.from({ length: program.shards }, (_, i) => {
      const part = (values: FeedData): FeedData =>
        values.subarray((i * values.length) / program.shards, ((i + 1) * values.length) / program.shards);
      return new Map([
        ["pixels", part(data.pixels)],
        ["targets/classes", part(targets.classes)],
        ["targets/boxes", part(targets.boxesXyxy)],
        ["targets/centerness", part(targets.centerness)],
      ]);
    });
    const started = performance.now();
    const running = program.run(shared, parts);
    if (program.shards > 1) this.#batches.prepare(step + 1);
    const outputs = await running;
    const engineMs = performance.now() - started;
    const partOf = (name: string): number => (outputs[name] as Float32Array)[0];
    this.#lastParts = {
      classification: partOf("classification"),
      boxes: partOf("boxes"),
      centerness: partOf("centerness"),
      positives,
    };
    const found = new Map<string, Float32Array>();
    for (const name of this.weights.keys()) found.set(name, outputs[gradientPrefix + name] as Float32Array);
    return { loss: partOf("total"), gradients: found, engineMs };
  }

  async dispose(): Promise<void> {
    for (const { program } of this.#engines.values()) await program.dispose();
    this.#engines.clear();
  }

  #checkClasses({ objects, texts }: DetectionBatch): void {
    const { classes } = this.#options.detector.config;
    const count = classes.kind === "fixed" ? classes.count : (texts?.length ?? 0) / classes.embedding;
    for (const { classes: ids } of objects) {
      const wrong = ids.find((id) => !(id >= 0 && id < count));
      if (wrong !== undefined) {
        throw new ShapeError(`DetectionObjective: classes must lie in 0 … ${count - 1}, got ${wrong}`);
      }
    }
  }

  async #engineFor({ height, width, texts }: DetectionBatch): Promise<Engine> {
    const key = `${height}×${width}, ${texts?.length ?? 0}`;
    const known = this.#engines.get(key);
    if (known) return known;
    const engine = await this.#compile(height, width, texts?.length);
    this.#engines.set(key, engine);
    return engine;
  }

  async #compile(height: number, width: number, textValues: number | undefined): Promise<Engine> {
    const { detector, frozenWeights, recompute = false, threads } = this.#options;
    const sharding = shardingOf(this.#options.batch, threads);
    const batch = this.#options.batch / sharding.shards;
    const { classes } = detector.config;
    const texts =
      classes.kind === "text" && textValues
        ? input("texts", [textValues / classes.embedding, classes.embedding])
        : undefined;
    const pixels = input("pixels", [batch, height, width, 3], "uint8");
    const { grid, outputs } = detector.forward(pixels, texts, { recompute });
    const losses = detectionLosses(outputs, targetInputs(batch, grid.count), grid);
    const parameters = namedParameters(detector);
    const learnt = [...this.weights.keys()];
    const found = gradients(
      losses.total,
      learnt.map((name) => {
        const parameter = parameters.get(name);
        if (!parameter) throw new ShapeError(`DetectionObjective: the detector has no parameter ${name}`);
        return parameter;
      }),
    );
    const gradientOutputs = learnt.map((name, i) => {
      const gradient = found[i];
      if (!gradient) throw new ShapeError(`DetectionObjective: the loss does not depend on ${name}. Freeze it`);
      return [gradientPrefix + name, gradient] as [string, Tensor];
    });
    const outputsOfPart = { ...losses, ...Object.fromEntries(gradientOutputs) };
    const weights = frozenWeights ? { weights: frozenWeights } : {};
    const program = await ShardedProgram.create(
      { outputs: outputsOfPart, parameters, recompute, ...weights },
      sharding,
    );
    return { program, grid };
  }
}

/** The targets of every picture's anchors, one after the other. */
function batchTargets(grid: AnchorGrid, objects: readonly ObjectAnnotations[]) {
  const classes = new Int32Array(objects.length * grid.count);
  const boxesXyxy = new Float32Array(4 * classes.length);
  const centerness = new Float32Array(classes.length);
  for (const [b, annotations] of objects.entries()) {
    const targets = anchorTargets(grid, annotations);
    classes.set(targets.classes, b * grid.count);
    boxesXyxy.set(targets.boxesXyxy, 4 * b * grid.count);
    centerness.set(targets.centerness, b * grid.count);
  }
  return { classes, boxesXyxy, centerness };
}
