import { UserError } from "../../core/errors.ts";
import type { LabelledImage, LabelledSet } from "../../data/labelled/labelled-set.ts";
import { unitHash } from "../../data/labelled/split-by-hash.ts";
import type { EvaluationParts } from "../evaluation-parts.ts";

/** A picture that takes part in a calibration. */
export interface DrawnPicture {
  readonly set: LabelledSet;
  readonly image: LabelledImage;
  readonly label: number; // of the labels; −1 = none of them
  readonly group: string; // its class, in words
}

/** What is fitted on and what is only measured; no picture is in both. */
export interface CalibrationDraw {
  readonly fit: readonly DrawnPicture[];
  readonly heldOut: readonly DrawnPicture[];
  /** How outside pictures were divided: `by class` where no class is on both sides, else `by picture`. */
  readonly outsideDivision: "by class" | "by picture" | "none";
}

export interface DrawOptions {
  readonly labels: readonly string[];
  readonly pictures: number; // of the labels to fit on, at most
  readonly outsidePictures: number; // to fit on, at most
  readonly outside?: { readonly set: LabelledSet; readonly classes: ReadonlySet<number> };
  readonly seed: number;
}

const fewest = 10; // pictures of the labels on either side
const fewestOutside = 5;
const fewestClasses = 4; // of outside pictures, to be divided by class

/**
 * Draws the pictures by a hash of seed and key. Pictures of the labels are fitted on in the training and validation parts and
 * measured in the test part (halves of it where there is nothing else); those of the set's other classes count as outside pictures.
 * Outside classes are on one side each, for the world outside is seldom what was shown: so the score is of kinds never seen.
 *
 * @throws UserError (bad-argument) for a label that is no class of the set; (empty) for too few pictures; unsupported for
 * sets with several labels a picture
 */
export function drawCalibration(set: LabelledSet, parts: EvaluationParts, options: DrawOptions): CalibrationDraw {
  const { pictures, outsidePictures, seed } = options;
  const labelOf = labelsByClass(set, options.labels);
  const draw = (images: readonly LabelledImage[]): DrawnPicture[] =>
    images.flatMap((image) => {
      const [own] = image.labels;
      return own === undefined ? [] : [{ set, image, label: labelOf[own], group: set.classes[own] }];
    });
  const hash = ({ image }: DrawnPicture) => unitHash(image.key, `calibration ${seed}`);
  const shuffled = (some: readonly DrawnPicture[]) =>
    some
      .map((one) => ({ one, at: hash(one) }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
  const trained = shuffled(draw([...parts.train, ...parts.val])); // nothing else is chosen on validation pictures here
  const tested = shuffled(draw(parts.test));
  const isInside = ({ label }: DrawnPicture) => label >= 0;
  // A set of one part is halved; the hash has shuffled it.
  const own = trained.some(isInside) ? { fit: trained, heldOut: tested } : halves(tested);
  const fit = own.fit.filter(isInside).slice(0, pictures);
  const heldOut = own.heldOut.filter(isInside);
  requirePictures(set, fit.length, heldOut.length);

  const others = { fit: own.fit.filter((one) => !isInside(one)), heldOut: own.heldOut.filter((one) => !isInside(one)) };
  const strangers = options.outside ? shuffled(outsidePool(options.outside)) : [];
  const groups = [...new Set([...others.fit, ...others.heldOut, ...strangers].map(({ group }) => group))];
  if (groups.length === 0) return { fit, heldOut, outsideDivision: "none" };
  const outside = divideOutside(others, strangers, groups, seed);
  const fitted = outside.fit.slice(0, outsidePictures);
  if (fitted.length < fewestOutside || outside.heldOut.length < fewestOutside) {
    const got = `${fitted.length} to fit on and ${outside.heldOut.length} to measure on`;
    const rule = `outside pictures: at least ${fewestOutside} are needed on each side`;
    throw new UserError("empty", `${options.outside?.set.name ?? set.name}: ${rule}, got ${got}. Add some.`);
  }
  return {
    fit: [...fit, ...fitted],
    heldOut: [...heldOut, ...outside.heldOut],
    outsideDivision: groups.length >= fewestClasses ? "by class" : "by picture",
  };
}

/** The label of each class of the set, −1 for those that are none. */
function labelsByClass(set: LabelledSet, labels: readonly string[]): number[] {
  if (set.isMultiLabel) {
    const rule = "pictures must have one label each to be calibrated on";
    throw new UserError("unsupported", `${set.name}: ${rule}, got several. Name another set.`);
  }
  const missing = labels.find((label) => !set.classes.includes(label));
  if (missing !== undefined) {
    const known = set.classes.slice(0, 8).join(", ");
    const rest = set.classes.length > 8 ? ", …" : "";
    const rule = "every label must be one of the set's classes";
    throw new UserError("bad-argument", `${set.name}: ${rule}, got "${missing}". It has ${known}${rest}.`);
  }
  return set.classes.map((name) => labels.indexOf(name));
}

function requirePictures(set: LabelledSet, fit: number, heldOut: number): void {
  if (fit >= fewest && heldOut >= fewest) return;
  const rule = `at least ${fewest} pictures of the labels are needed to fit on and ${fewest} to measure on`;
  throw new UserError("empty", `${set.name}: ${rule}, got ${fit} and ${heldOut}. Label some more.`);
}

/** The outside set's test part, else its validation part, else all of it: a model may know what it was trained on. */
function outsidePool({ set, classes }: NonNullable<DrawOptions["outside"]>): DrawnPicture[] {
  const part = (["test", "val", "train"] as const).find((name) => set.splits.has(name)) ?? "train";
  return (set.splits.get(part) ?? []).flatMap((image) => {
    const [own] = image.labels;
    if (own !== undefined && !classes.has(own)) return [];
    return [{ set, image, label: -1, group: own === undefined ? set.name : set.classes[own] }];
  });
}

function divideOutside(
  others: { readonly fit: readonly DrawnPicture[]; readonly heldOut: readonly DrawnPicture[] },
  strangers: readonly DrawnPicture[],
  groups: readonly string[],
  seed: number,
): { fit: DrawnPicture[]; heldOut: DrawnPicture[] } {
  if (groups.length < fewestClasses) {
    const { fit, heldOut } = halves(strangers);
    return { fit: [...others.fit, ...fit], heldOut: [...others.heldOut, ...heldOut] };
  }
  const order = [...groups].sort((a, b) => unitHash(a, `outside ${seed}`) - unitHash(b, `outside ${seed}`));
  const shown = new Set(order.slice(0, Math.ceil(order.length / 2)));
  const isShown = ({ group }: DrawnPicture) => shown.has(group);
  return {
    fit: [...others.fit, ...strangers].filter(isShown),
    heldOut: [...others.heldOut, ...strangers].filter((one) => !isShown(one)),
  };
}

function halves<T>(items: readonly T[]): { fit: readonly T[]; heldOut: readonly T[] } {
  const half = Math.ceil(items.length / 2);
  return { fit: items.slice(0, half), heldOut: items.slice(half) };
}
