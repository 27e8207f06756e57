import type { LabelledSet } from "../data/labelled/labelled-set.ts";
import type { FailedFile } from "../io/file-walk.ts";
import type { FlorenceModel } from "../zoo/florence-model.ts";
import type { EvaluationDetails } from "./evaluation-details.ts";
import type { EvaluationParts } from "./evaluation-parts.ts";
import type { Exposure } from "./exposure-curves.ts";
import type { LedgerEntry } from "./ledger-entry.ts";
import type { ClassPrompts } from "./prompt-choice.ts";
import type { TunedOn } from "./tuned-on.ts";

/** What a score can be asked for. Each task declares which of these it heeds; the others are refused. */
export interface EvaluationOptions {
  /** `test` (carved out of the training images if there is none), `train`, `val`, `all`, `first:N` or `last:N`. */
  readonly split?: string;
  readonly metric?: ClassificationMetric;
  /** Training images a class: numbers, and `full` for all; all if left out. */
  readonly shots?: readonly Exposure[];
  readonly seeds?: readonly number[];
  /** Prompts of the classes, from `readClassPrompts`. */
  readonly prompts?: ClassPrompts;
  readonly ways?: number;
  readonly episodes?: number;
  readonly queries?: number;
  readonly epochs?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  /** A variant of the task, such as `head` of `fine-tune`. */
  readonly method?: string;
  readonly augment?: string;
  /** Where a tuned head starts from: the class names, chance, or a linear probe. */
  readonly headStart?: string;
  /** What tuning updates the matrices of hidden layers with: `adamw` or `muon`, and muon's factor on the rate. */
  readonly optimizer?: string;
  readonly matrixRate?: number;
}

/** What a classification is scored by: top-1, the mean of the classes' own accuracies, or 11-point mAP. */
export type ClassificationMetric = "top-1" | "mean-per-class" | "map-11";

/** A score to be computed, with all that decides it besides model and data. */
export type PlannedScore = Pick<LedgerEntry, "task" | "metric" | "protocol" | "seed"> & { readonly split: string };

/** A computed score. */
export type Score = Pick<LedgerEntry, "score" | "interval" | "chance" | "n" | "failed" | "metrics"> & {
  readonly details?: EvaluationDetails;
};

/** What an evaluation works on. */
export interface EvaluationContext {
  readonly model: FlorenceModel;
  /** The checkpoint folder of the model, for tasks that change its weights. */
  readonly modelFolder: () => Promise<string>;
  /** Side of the pictures, if not the model's own; `model` was loaded with it. */
  readonly imageSize?: number | undefined;
  readonly set: LabelledSet;
  readonly parts: EvaluationParts;
  /** The images of the set that the model was tuned on, if it was. */
  readonly tunedOn?: TunedOn | undefined;
  readonly options: EvaluationOptions;
  readonly cacheFolder: string;
  /** What several scores of one run need, such as a fitted probe, by a key of its maker's. */
  readonly memory: Map<string, unknown>;
  readonly signal?: AbortSignal;
  /** Told how far a part of the work is; `unit` is a plural name. */
  readonly onProgress?: (label: string, done: number, total: number, unit: string) => void;
  /** Told each image that cannot be used, once. */
  readonly onFailure?: (failure: FailedFile) => void;
  /** Told what a reader of the score should know. */
  readonly onWarning?: (message: string) => void;
}

/** One way to score a model on a labelled set: all that the ledger, the commands and the report need to know of it. */
export interface EvaluationTask {
  readonly name: string;
  readonly summary: string; // one line, for help
  readonly options: readonly (keyof EvaluationOptions)[];
  /**
   * The scores that will be computed: cheap, and the same for the same context.
   *
   * @throws UserError if the set or the options do not suit the task
   */
  plan(context: EvaluationContext): PlannedScore[];
  /** Computes the scores asked for, a part of the plan, giving each as soon as it is known. */
  run(context: EvaluationContext, asked: readonly PlannedScore[]): AsyncIterable<readonly [PlannedScore, Score]>;
}
