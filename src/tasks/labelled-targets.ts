import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import type { Targets } from "./logistic-objective.ts";

/** The labels of images as a linear classifier learns them; with one label an image, all must have one. */
export function targetsOf(
  set: Pick<LabelledSet, "classes" | "isMultiLabel">,
  images: readonly LabelledImage[],
): Targets {
  const classes = set.classes.length;
  if (!set.isMultiLabel) return { kind: "one", labels: Int32Array.from(images, ({ labels }) => labels[0]), classes };
  const truth = new Uint8Array(images.length * classes);
  for (const [i, { labels }] of images.entries()) for (const label of labels) truth[i * classes + label] = 1;
  return { kind: "several", truth, classes };
}
