import type { LabelledImage, LabelledSet, SplitName } from "../data/labelled/labelled-set.ts";
import { type TuningParts, tuningParts } from "../data/labelled/tuning-parts.ts";
import { PixelStore } from "../data/pixel-store.ts";
import type { FailedFile } from "../io/file-walk.ts";
import type { ModelConfig } from "../zoo/model-config.ts";

/** What of a set is trained on, what chooses, and what is only measured at the end. */
export interface TuningData extends Pick<TuningParts, "division" | "heldOut"> {
  readonly train: PixelStore;
  readonly validation: PixelStore;
  readonly test: PixelStore | undefined; // absent where there is nothing to measure on
}

export interface TuningDataOptions {
  readonly set: LabelledSet;
  readonly preprocessing: ModelConfig["preprocessing"]; // of the model that is tuned
  readonly seed: number;
  /** The division, if it is not to be that of {@link tuningParts}. */
  readonly parts?: TuningParts | undefined;
  /** Keep pictures that show none of a multi-label set's classes: a head learns from them, texts cannot describe them. */
  readonly keepUnlabelled?: boolean;
  readonly cacheFolder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((part: SplitName, done: number, total: number) => void) | undefined;
  /** Told of every picture that does not decode; it is left out. */
  readonly onFailure?: ((failure: FailedFile) => void) | undefined;
}

/** Opens the parts of a set at the size of a model. */
export async function openTuningData(options: TuningDataOptions): Promise<TuningData> {
  const parts = options.parts ?? tuningParts(options.set, options.seed);
  const train = await openStore(options, "train", parts.train);
  const validation = await openStore(options, "val", parts.val);
  const test = parts.test.length > 0 ? await openStore(options, "test", parts.test) : undefined;
  return { train, validation, test, division: parts.division, heldOut: parts.heldOut };
}

/** The pictures of another set that a tuned model should still know: its test part, else validation, else all. */
export function openControlData(options: TuningDataOptions): Promise<PixelStore> {
  const { splits } = options.set;
  const part = (["test", "val", "train"] as const).find((name) => splits.has(name)) ?? "train";
  return openStore(options, part, splits.get(part) ?? []);
}

async function openStore(
  { set, preprocessing, cacheFolder, signal, onProgress, onFailure, keepUnlabelled = false }: TuningDataOptions,
  part: SplitName,
  images: readonly LabelledImage[],
): Promise<PixelStore> {
  const store = await PixelStore.open({
    set,
    images: usable(set, images, keepUnlabelled),
    preprocessing,
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress: (done: number, total: number) => onProgress(part, done, total) } : {}),
  });
  for (const failure of store.failures) onFailure?.(failure);
  return store;
}

/** Pictures that have what the set is about: a label, or a caption where it has no classes. */
function usable(set: LabelledSet, images: readonly LabelledImage[], keepUnlabelled: boolean): readonly LabelledImage[] {
  if (isCaptioned(set)) return images.filter(({ texts }) => texts.length > 0);
  return set.isMultiLabel && keepUnlabelled ? images : images.filter(({ labels }) => labels.length > 0);
}

/** Whether a set's texts are captions rather than names of classes. */
export function isCaptioned({ classes, splits }: Pick<LabelledSet, "classes" | "splits">): boolean {
  const hasLabels = [...splits.values()].some((images) => images.some(({ labels }) => labels.length > 0));
  return classes.length === 0 || !hasLabels;
}
