import type { WeightTensor } from "../io/safetensors.ts";

/** What one step of a task gives the trainer. */
export interface StepResult {
  loss: number;
  gradients: ReadonlyMap<string, Float32Array>; // by parameter
  engineMs: number; // spent inside ONNX Runtime
}

/** Something to be minimised: all that the training loop needs to know of a task. */
export interface Objective {
  /** The parameters to be learnt with their live values, which the optimiser changes in place. */
  readonly weights: ReadonlyMap<string, WeightTensor>;
  readonly samplesPerStep: number;
  /** Loss and gradients of step `step`, a pure function of the step number and the weights. */
  step(step: number): Promise<StepResult>;
  /** Brings weights back within their bounds after an update. */
  constrain?(): void;
  dispose(): Promise<void>;
}
