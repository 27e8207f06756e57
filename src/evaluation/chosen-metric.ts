import { UserError } from "../core/errors.ts";
import type { LabelledSet } from "../data/labelled/labelled-set.ts";
import type { ClassificationMetric } from "./evaluation-task.ts";

/**
 * What a set's classification is scored by, if nothing was asked for: 11-point mAP where images may have several
 * labels, else top-1.
 *
 * @throws UserError (bad-argument) if the metric does not suit the set
 */
export function chosenMetric(
  { name, isMultiLabel }: Pick<LabelledSet, "name" | "isMultiLabel">,
  asked?: ClassificationMetric,
): ClassificationMetric {
  const usual = isMultiLabel ? "map-11" : "top-1";
  if (asked === undefined || (asked === "map-11") === isMultiLabel) return asked ?? usual;
  const kind = isMultiLabel ? "several labels an image" : "one label an image";
  throw new UserError("bad-argument", `Metric ${asked}: does not suit ${name} with ${kind}. Use --metric ${usual}.`);
}
