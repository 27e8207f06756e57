import { type ActivationName, activations } from "../graph/activations.ts";
import type { Initializer, Tensor } from "../graph/tensor.ts";
import { Linear } from "./linear.ts";

export interface MlpConfig {
  width: number;
  hidden: number;
  activation: ActivationName;
  initialize?: readonly [Initializer, Initializer]; // of the two weights
}

/** The feed-forward half of a transformer block: widen, bend, narrow. */
export class Mlp {
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly #activation: ActivationName;

  constructor({ width, hidden, activation, initialize }: MlpConfig) {
    this.fc1 = new Linear({ inputs: width, outputs: hidden, ...(initialize && { initialize: initialize[0] }) });
    this.fc2 = new Linear({ inputs: hidden, outputs: width, ...(initialize && { initialize: initialize[1] }) });
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(activations[this.#activation](this.fc1.forward(x)));
  }
}
