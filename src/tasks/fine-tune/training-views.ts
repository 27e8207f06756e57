import { Rng } from "../../core/rng.ts";
import { type AugmentConfig, augmentInto } from "../../data/augment.ts";
import { BatchComposer } from "../../data/batching.ts";
import type { PixelStore } from "../../data/pixel-store.ts";

export interface TrainingViewsOptions {
  readonly store: PixelStore;
  /** Texts of each row of the store, one of which is drawn each time; left out where texts do not matter. */
  readonly texts?: readonly (readonly string[])[];
  readonly batch: number;
  readonly imageSize: number;
  readonly augment: AugmentConfig;
  readonly seed: number;
}

/** Augmented pictures of one step, with what each is of. */
export interface Views {
  readonly pixels: Uint8Array; // [B, imageSize, imageSize, 3]
  readonly rows: readonly number[]; // [B] of the store
  readonly texts: readonly number[]; // [B], which of the row's texts was drawn
  readonly rngs: readonly Rng[]; // [B], for whatever else is drawn for a picture
}

/** Pictures of each training step as a pure function of the step: every picture once an epoch, in a seeded order. */
export class TrainingViews {
  readonly #options: TrainingViewsOptions;
  readonly #composer: BatchComposer;

  constructor(options: TrainingViewsOptions) {
    const { store, texts, batch, seed } = options;
    const rows = store.images.map(({ key }, row) => ({ key, texts: [...(texts?.[row] ?? [""])] }));
    this.#composer = new BatchComposer([{ name: "tuning", rows, perBatch: batch }], `${seed} tuning`);
    this.#options = options;
  }

  viewsAt(step: number): Views {
    const { store, imageSize, augment, batch } = this.#options;
    const pixels = new Uint8Array(batch * imageSize * imageSize * 3);
    const source = new Uint8Array(store.size * store.size * 3);
    const entries = this.#composer.batchAt(step);
    const rngs = entries.map(({ row, seed }, i) => {
      const rng = new Rng(seed);
      store.copy(row, source, 0);
      const at = i * imageSize * imageSize * 3;
      augmentInto(source, 0, store.size, store.size, pixels, at, imageSize, augment, rng);
      return rng;
    });
    return { pixels, rows: entries.map(({ row }) => row), texts: entries.map(({ text }) => text), rngs };
  }
}
