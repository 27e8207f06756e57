import type { Tokenizer } from "../data/tokenizers/tokenizer.ts";
import type { PositionResampling } from "../models/image-encoder/position-embedding.ts";
import type { TwoTowerConfig } from "../models/two-tower.ts";
import type { Weights } from "../nn/module.ts";
import type { CheckpointFolder } from "./checkpoint-folder.ts";
import type { ModelConfig } from "./model-config.ts";

/** A two-tower model as read from a folder, whoever laid that out: ready to be built. */
export interface Checkpoint {
  readonly name: string;
  readonly architecture: TwoTowerConfig;
  readonly preprocessing: ModelConfig["preprocessing"];
  /** Every parameter of the two-tower model under our name, in the shape of our parameter, and nothing else. */
  readonly weights: Weights;
  readonly tokenizer: Tokenizer;
  /** How the family's own library resizes position embeddings; left out where the model has none, or it is not known. */
  readonly positionResampling?: PositionResampling;
}

/** Reads one family of checkpoint folders. One file a family; all stand in `checkpoint-formats.ts`. */
export interface CheckpointFormat {
  /** As errors and `docs/models.md` call it, such as "CLIP, Hugging Face layout". */
  readonly family: string;
  /** Names of its weights, the preferred first; a single PyTorch file of any name may stand for them. */
  readonly weightNames: readonly string[];
  /** Whether the folder claims to be of this family, by its file names and configuration; weights are not opened. */
  recognizes(folder: CheckpointFolder): Promise<boolean>;
  /**
   * Reads all but the weights, which need not be there yet; left out where nothing stands beside them.
   *
   * @throws UserError as {@link read} for a folder whose configuration or tokenizer cannot be read
   */
  checkConfiguration?(folder: CheckpointFolder): Promise<unknown>;
  /** What the configuration says, undefined if there is none; left out where that is a JSON file of a known name. */
  describe?(folder: CheckpointFolder): Promise<Readonly<Record<string, unknown>> | undefined>;
  /**
   * Whether a folder that is recognized is of this family for certain, though other programs' models stand around it;
   * left out where {@link recognizes} is enough.
   */
  isCertain?(folder: CheckpointFolder): boolean;
  /** @throws UserError naming the file, and the tensor with both shapes where one does not fit */
  read(folder: CheckpointFolder): Promise<Checkpoint>;
}
