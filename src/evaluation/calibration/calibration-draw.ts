import { UserError } from "../../core/errors.ts";
import type { LabelledImage, LabelledSet } from "../../data/labelled/labelled-set.ts";
import { unitHash } from "../../data/labelled/split-by-hash.ts";
import type { EvaluationParts } from "../evaluation-parts.ts";
import { countTunedOn, type TunedOn } from "../tuned-on.ts";

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
  /** How many outside pictures are fitted on, of the set's other classes and of the outside set. */
  readonly fittedOutside: { readonly ofSet: number; readonly ofOutsideSet: number };
  readonly tunedOn: TunedOnCounts;
}

/** How many pictures the model was tuned on: of those left out of the fit for it, fitted on, and measured on. */
export interface TunedOnCounts {
  readonly leftOut: number;
  readonly fitted: number;
  readonly measured: number;
}

export interface DrawOptions {
  readonly labels: readonly string[];
  readonly pictures: number; // of the labels to fit on, at most
  readonly outsidePictures: number; // to fit on, at most
  readonly outside?: { readonly set: LabelledSet; readonly classes: ReadonlySet<number> };
  readonly seed: number;
  /** Images of the set that the model was tuned on: it is too sure of them to be calibrated on. */
  readonly tunedOn?: TunedOn | undefined;
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
  const isInside = ({ label }: DrawnPicture) => label >= 0;
  const learnt = draw([...parts.train, ...parts.val]); // nothing else is chosen on validation pictures here
  const usable = withoutTunedOn(learnt, options.tunedOn);
  const trained = shuffled(usable);
  const tested = shuffled(draw(parts.test));
  // A set of one part is halved; the hash has shuffled it.
  const own = trained.some(isInside) ? { fit: trained, heldOut: tested } : halves(tested);
  const fit = own.fit.filter(isInside).slice(0, pictures);
  const heldOut = own.heldOut.filter(isInside);
  requirePictures(set, fit.length, heldOut.length);

  const others = { fit: own.fit.filter((one) => !isInside(one)), heldOut: own.heldOut.filter((one) => !isInside(one)) };
  const strangers = options.outside ? shuffled(outsidePool(options.outside)) : [];
  const groups = [...new Set([...others.fit, ...others.heldOut, ...strangers].map(({ group }) => group))];
  const seen = (some: readonly DrawnPicture[]) =>
    countTunedOn(
      some.map(({ image }) => image),
      options.tunedOn,
    );
  const tunedOn = { leftOut: learnt.length - usable.length, fitted: seen(fit), measured: seen(heldOut) };
  if (groups.length === 0) {
    return { fit, heldOut, outsideDivision: "none", fittedOutside: { ofSet: 0, ofOutsideSet: 0 }, tunedOn };
  }
  const outside = divideOutside(others, strangers, groups, seed);
  const fitted = sharesOfBoth(outside.fit, ({ set: from }) => from === set, outsidePictures);
  if (fitted.length < fewestOutside || outside.heldOut.length < fewestOutside) {
    const got = `${fitted.length} to fit on and ${outside.heldOut.length} to measure on`;
    const rule = `outside pictures: at least ${fewestOutside} are needed on each side`;
    throw new UserError("empty", `${options.outside?.set.name ?? set.name}: ${rule}, got ${got}. Add some.`);
  }
  return {
    fit: [...fit, ...fitted],
    heldOut: [...heldOut, ...outside.heldOut],
    outsideDivision: groups.length >= fewestClasses ? "by class" : "by picture",
    fittedOutside: countBySet(fitted, set),
    tunedOn,
  };
}

function countBySet(fitted: readonly DrawnPicture[], set: LabelledSet): CalibrationDraw["fittedOutside"] {
  const ofSet = fitted.filter((one) => one.set === set).length;
  return { ofSet, ofOutsideSet: fitted.length - ofSet };
}

/** The first `most` pictures, half of them of either kind where both have so many: none is crowded out by the other. */
function sharesOfBoth<T>(items: readonly T[], isFirstKind: (item: T) => boolean, most: number): readonly T[] {
  const [first, second] = [items.filter(isFirstKind), items.filter((item) => !isFirstKind(item))];
  const ofSecond = Math.min(second.length, Math.max(Math.floor(most / 2), most - first.length));
  return [...first.slice(0, most - ofSecond), ...second.slice(0, ofSecond)];
}

/** The pictures that a model was not tuned on, or all of them where those are too few to fit on. */
function withoutTunedOn(pictures: readonly DrawnPicture[], keys: TunedOn | undefined): readonly DrawnPicture[] {
  if (!keys) return pictures;
  const rest = pictures.filter(({ image }) => !keys.has(image.key));
  return rest.filter(({ label }) => label >= 0).length >= fewest ? rest : pictures;
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
  // Of either set half of the classes, so that both are fitted on; all classes of one set are halved as they are.
  const own = new Set([...others.fit, ...others.heldOut].map(({ group }) => group));
  const shown = new Set(
    [order.filter((group) => own.has(group)), order.filter((group) => !own.has(group))].flatMap((some) =>
      some.slice(0, Math.ceil(some.length / 2)),
    ),
  );
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
