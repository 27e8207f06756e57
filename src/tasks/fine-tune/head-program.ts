import { mul, sum } from "../../graph/broadcasting.ts";
import { neg, softplus, sub } from "../../graph/elementwise.ts";
import { gradients } from "../../graph/gradients.ts";
import { logSoftmax } from "../../graph/softmax.ts";
import { input, type Parameter, type Tensor } from "../../graph/tensor.ts";
import type { TwoTower } from "../../models/two-tower.ts";
import { DropPath } from "../../nn/drop-path.ts";
import { namedParameters } from "../../nn/module.ts";
import type { FeedData } from "../../runtime/program.ts";
import { ShardedProgram, type Sharding } from "../../runtime/sharded-program.ts";
import { type ClassifierHead, type HeadInput, headFeatures } from "./classifier-head.ts";

/** How class scores become a loss: one class a picture, or any number of them. */
export type ClassLoss = "softmax" | "sigmoid";

export interface HeadStepShape {
  readonly model: TwoTower;
  readonly head: ClassifierHead;
  readonly input: HeadInput;
  readonly loss: ClassLoss;
  readonly imageSize: number;
  readonly batch: number;
  readonly classes: number;
  readonly inputs: number; // values that the head reads
  /** Whether a parameter is learnt; all others must be in `frozen`. */
  readonly isLearnt: (name: string) => boolean;
  readonly frozen: ReadonlyMap<string, Float32Array>;
  readonly dropPath: boolean;
  readonly dropout: boolean; // of what the head reads, fed as `dropout`
  readonly recompute: boolean;
}

/** One batch as the program is fed. */
export interface HeadBatch {
  readonly pixels: Uint8Array; // [B, H, W, 3]
  readonly targets: Float32Array; // [B, K]; rows that sum to 1 for a softmax, each in [0, 1] for a sigmoid
  readonly rowWeights: Float32Array; // [B] that sum to 1; 0 where a short batch was filled up
  readonly dropPath?: Float32Array;
  readonly dropout?: Float32Array; // [B, inputs], 0 or what makes up for the zeros
}

/** Names of the head's parameters in checkpoints and among the learnt ones. */
export const headPrefix = "head.";

/** All parameters of a tower with a head, by name. */
export function headParameters(model: TwoTower, head: ClassifierHead): Map<string, Parameter> {
  return new Map([...namedParameters(model), ...namedParameters(head, headPrefix.slice(0, -1))]);
}

/**
 * The weighted mean over the batch of each row's loss: cross-entropy, or the sum of the classes' binary ones.
 *
 * @param logits   [B, K]
 * @param targets  [B, K]
 * @param weights  [B]
 * @returns        []
 */
export function classLoss(logits: Tensor, targets: Tensor, weights: Tensor, kind: ClassLoss): Tensor {
  const rows =
    kind === "softmax"
      ? neg(sum(mul(targets, logSoftmax(logits)), 1))
      : sum(sub(softplus(logits), mul(targets, logits)), 1); // −t·log σ(z) − (1 − t)·log(1 − σ(z))
  return sum(mul(rows, weights));
}

/** Loss and gradients of a classifier and its tower, as one program for one shape of batch or of equal parts of one. */
export class HeadProgram {
  /** The learnt parameters that the loss depends on. */
  readonly learnt: ReadonlyMap<string, Parameter>;
  readonly #program: ShardedProgram;
  readonly #shape: HeadStepShape;

  private constructor(program: ShardedProgram, shape: HeadStepShape, learnt: ReadonlyMap<string, Parameter>) {
    this.#program = program;
    this.#shape = shape;
    this.learnt = learnt;
  }

  /** One part in all threads if `sharding` is left out. */
  static async create(shape: HeadStepShape, sharding?: Sharding): Promise<HeadProgram> {
    const { model, head, imageSize, classes, isLearnt, recompute } = shape;
    const batch = shape.batch / (sharding?.shards ?? 1);
    const pixels = input("pixels", [batch, imageSize, imageSize, 3], "uint8");
    const rates = model.imageEncoder.dropRates;
    const features = headFeatures(model, shape.input, pixels, {
      recompute,
      ...(shape.dropPath ? { dropPath: new DropPath(rates, batch) } : {}),
    });
    const kept = shape.dropout ? mul(features, input("dropout", [batch, shape.inputs])) : features;
    const targets = input("targets", [batch, classes]);
    const loss = classLoss(head.forward(kept), targets, input("rowWeights", [batch]), shape.loss);
    const parameters = headParameters(model, head);
    const wanted = [...parameters].filter(([name]) => isLearnt(name));
    const found = gradients(
      loss,
      wanted.map(([, parameter]) => parameter),
    );
    const learnt = new Map(wanted.filter((_, i) => found[i] !== undefined));
    const outputs: Record<string, Tensor> = { loss };
    for (const [i, [name]] of wanted.entries()) {
      const gradient = found[i];
      if (gradient) outputs[`gradient/${name}`] = gradient;
    }
    const weights = new Map([...shape.frozen].filter(([name]) => !isLearnt(name)));
    const program = await ShardedProgram.create({ outputs, parameters, weights, recompute }, sharding);
    return new HeadProgram(program, shape, learnt);
  }

  /** Parts of a batch that are run side by side, in other threads if there are several. */
  get shards(): number {
    return this.#program.shards;
  }

  /** @param weights  values of every learnt parameter */
  async run(
    weights: ReadonlyMap<string, Float32Array>,
    batch: HeadBatch,
  ): Promise<{ loss: number; gradients: Map<string, Float32Array>; engineMs: number }> {
    const started = performance.now();
    const outputs = await this.#program.run(weights, this.#partsOf(batch));
    const engineMs = performance.now() - started;
    const found = new Map(
      [...this.learnt.keys()].map((name) => [name, outputs[`gradient/${name}`] as Float32Array] as const),
    );
    return { loss: Number((outputs.loss as Float32Array)[0]), gradients: found, engineMs };
  }

  dispose(): Promise<void> {
    return this.#program.dispose();
  }

  #partsOf(batch: HeadBatch): Map<string, FeedData>[] {
    const { shards } = this.#program;
    const fed = Object.entries(batch).filter((entry): entry is [string, FeedData] => entry[1] !== undefined);
    return Array.from({ length: shards }, (_, part) => {
      const first = (part * this.#shape.batch) / shards;
      const end = ((part + 1) * this.#shape.batch) / shards;
      return new Map(fed.map(([name, data]) => [name, rowsOf(name, data, this.#shape.batch, first, end)]));
    });
  }
}

/** The values of a batch's rows from `first` to `end`; stochastic depth has its rows across. */
function rowsOf(name: string, data: FeedData, batch: number, first: number, end: number): FeedData {
  const width = data.length / batch;
  if (name !== "dropPath") return data.subarray(first * width, end * width);
  const columns = new Float32Array(width * (end - first));
  for (let branch = 0; branch < width; branch++) {
    columns.set((data as Float32Array).subarray(branch * batch + first, branch * batch + end), branch * (end - first));
  }
  return columns;
}
