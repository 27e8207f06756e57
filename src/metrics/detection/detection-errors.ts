import { iouMatrix } from "../../core/boxes.ts";
import { descendingOrder } from "../../core/non-max-suppression.ts";
import { interpolatedPrecision } from "./coco-average-precision.ts";
import { cocoAreaRanges } from "./coco-matching.ts";
import { checkPictures, type DetectedBoxes, type TruthBoxes } from "./detection-boxes.ts";

/** Why a detection is wrong; `missed` is a truth that no detection explains. */
export type DetectionErrorKind =
  | "localisation"
  | "class"
  | "classAndLocalisation"
  | "duplicate"
  | "background"
  | "missed";

export const detectionErrorKinds: readonly DetectionErrorKind[] = [
  "localisation",
  "class",
  "classAndLocalisation",
  "duplicate",
  "background",
  "missed",
];

export interface DetectionErrors {
  readonly ap50: number; // NaN without a truth
  /** How many there are of each kind. */
  readonly counts: Readonly<Record<DetectionErrorKind, number>>;
  /** What AP50 would gain if every error of one kind, and nothing else, were mended. */
  readonly ap50Gains: Readonly<Record<DetectionErrorKind, number>>;
  /** Truths to be found, and those found at the foreground IoU, by area. */
  readonly sizes: Readonly<Record<"small" | "medium" | "large", { readonly truths: number; readonly found: number }>>;
}

export interface DetectionErrorOptions {
  readonly classes: number;
  /** A detection with this IoU is in the right place. */
  readonly foreground?: number;
  /** A detection below this IoU with every truth is on background. */
  readonly background?: number;
}

/** One detection that counts, its verdict, and the truth that it would take if it were mended. */
interface Verdict {
  readonly ofClass: number; // as detected
  readonly score: number;
  readonly kind: DetectionErrorKind | "correct";
  readonly truth: number; // overall index; −1 for none
}

interface Tally {
  readonly verdicts: Verdict[];
  readonly truthClasses: number[]; // of every truth that is to be found, by overall index
  readonly found: boolean[]; // by overall index
  readonly excused: boolean[]; // not found, but a localisation or class error would be it
  readonly areas: number[];
}

/**
 * What keeps AP50 below 1, by kind of error. TIDE, Bolya et al., arXiv:2008.08115: a wrong detection is one of
 * localisation (right class, IoU between background and foreground), class (right place, other class), both,
 * duplicate (of a truth found already) or background; a truth is missed if no localisation or class error is about it.
 * Differs: crowds and ignored truths are left out, with the detections that lie on them.
 *
 * @throws ShapeError if truth and detections do not fit each other
 */
export function detectionErrors(
  truth: readonly TruthBoxes[],
  detected: readonly DetectedBoxes[],
  { classes, foreground = 0.5, background = 0.1 }: DetectionErrorOptions,
): DetectionErrors {
  checkPictures("detectionErrors", truth, detected, classes);
  const tally: Tally = { verdicts: [], truthClasses: [], found: [], excused: [], areas: [] };
  for (const [i, known] of truth.entries()) judgePicture(known, detected[i], { foreground, background }, tally);
  const { verdicts, truthClasses, found, excused } = tally;
  const missed = truthClasses.filter((_, g) => !found[g] && !excused[g]);
  const counts = countKinds(verdicts, missed.length);
  const ap50 = meanPrecision(verdicts, truthClasses, classes);
  const gains = { ...counts };
  for (const kind of detectionErrorKinds) {
    const mended =
      kind === "missed"
        ? meanPrecision(verdicts, withoutMissed(tally), classes)
        : meanPrecision(mend(tally, kind), truthClasses, classes);
    gains[kind] = (Number.isNaN(mended) && truthClasses.length > 0 ? 1 : mended) - ap50; // all truths were missed
  }
  return { ap50, counts, ap50Gains: gains, sizes: countSizes(tally) };
}

/** Matches and judges the detections of one picture, the surest first. */
function judgePicture(
  known: TruthBoxes,
  { boxes, classes, scores }: DetectedBoxes,
  { foreground, background }: { readonly foreground: number; readonly background: number },
  tally: Tally,
): void {
  const base = tally.truthClasses.length;
  const counted: number[] = []; // rows of the truths that are to be found
  const left: number[] = []; // rows of crowds and ignored truths
  for (let g = 0; g < known.classes.length; g++) (known.crowd?.[g] || known.ignored?.[g] ? left : counted).push(g);
  const pick = (rows: readonly number[]) =>
    rows.flatMap((g) => Array.from({ length: 4 }, (_, k) => known.boxes[4 * g + k]));
  const truths = pick(counted);
  const ious = iouMatrix(boxes, truths);
  const excusing = iouMatrix(boxes, pick(left), { crowd: left.map((g) => known.crowd?.[g] ?? 0) });
  const truthClasses = counted.map((g) => known.classes[g]);
  for (const [i, g] of counted.entries()) {
    tally.truthClasses.push(known.classes[g]);
    tally.found.push(false);
    tally.excused.push(false);
    const [x0, y0, x1, y1] = truths.slice(4 * i, 4 * i + 4);
    tally.areas.push(known.areas ? known.areas[g] : (x1 - x0) * (y1 - y0));
  }
  const order = descendingOrder(scores);
  const matched = new Set<number>();
  for (const d of order) {
    const best = bestOf(ious, d, truthClasses, (own, g) => own === classes[d] && !tally.found[base + g]);
    if (best.truth < 0 || best.iou < foreground) continue;
    tally.found[base + best.truth] = true;
    matched.add(d);
    tally.verdicts.push({ ofClass: classes[d], score: scores[d], kind: "correct", truth: base + best.truth });
  }
  for (const d of order) {
    if (matched.has(d)) continue;
    if (left.some((_, j) => excusing[d * left.length + j] >= foreground)) continue;
    const own = bestOf(ious, d, truthClasses, (c) => c === classes[d]);
    const other = bestOf(ious, d, truthClasses, (c) => c !== classes[d]);
    const { kind, truth } = verdictOf(own, other, foreground, background);
    if ((kind === "localisation" || kind === "class") && !tally.found[base + truth]) tally.excused[base + truth] = true;
    tally.verdicts.push({ ofClass: classes[d], score: scores[d], kind, truth: truth < 0 ? -1 : base + truth });
  }
}

interface Nearest {
  readonly truth: number; // −1 for none
  readonly iou: number;
}

function verdictOf(own: Nearest, other: Nearest, foreground: number, background: number) {
  const kind: DetectionErrorKind =
    own.iou >= foreground
      ? "duplicate"
      : own.iou >= background
        ? "localisation"
        : other.iou >= foreground
          ? "class"
          : other.iou >= background
            ? "classAndLocalisation"
            : "background";
  if (kind === "localisation") return { kind, truth: own.truth };
  return { kind, truth: kind === "class" ? other.truth : -1 };
}

/** The truth of the highest IoU with detection `d` among those wanted. */
function bestOf(
  ious: Float64Array,
  d: number,
  truthClasses: readonly number[],
  isWanted: (ofClass: number, truth: number) => boolean,
): Nearest {
  let best: Nearest = { truth: -1, iou: 0 };
  for (let g = 0; g < truthClasses.length; g++) {
    const iou = ious[d * truthClasses.length + g];
    if (iou > best.iou && isWanted(truthClasses[g], g)) best = { truth: g, iou };
  }
  return best;
}

/**
 * The detections with all errors of one kind mended: those about a truth that was not found become correct, the surest
 * one for each truth; all others are taken out.
 */
function mend({ verdicts, truthClasses, found }: Tally, kind: DetectionErrorKind): Verdict[] {
  const mended: Verdict[] = verdicts.filter((verdict) => verdict.kind !== kind);
  const taken = new Set<number>();
  const wrong = verdicts.filter((verdict) => verdict.kind === kind && verdict.truth >= 0 && !found[verdict.truth]);
  for (const i of descendingOrder(wrong.map(({ score }) => score))) {
    const { truth, score } = wrong[i];
    if (taken.has(truth)) continue;
    taken.add(truth);
    mended.push({ ofClass: truthClasses[truth], score, kind: "correct", truth });
  }
  return mended;
}

/** The classes of the truths that are not missed. */
function withoutMissed({ truthClasses, found, excused }: Tally): number[] {
  return truthClasses.filter((_, g) => found[g] || excused[g]);
}

/** AP at one threshold, mean over the classes that have truths. */
function meanPrecision(verdicts: readonly Verdict[], truthClasses: readonly number[], classes: number): number {
  const positives = new Uint32Array(classes);
  for (const own of truthClasses) positives[own]++;
  const byClass = Array.from({ length: classes }, () => [] as Verdict[]);
  for (const verdict of verdicts) byClass[verdict.ofClass].push(verdict);
  let sum = 0;
  let defined = 0;
  for (const [ofClass, own] of byClass.entries()) {
    if (positives[ofClass] === 0) continue;
    const precisions: number[] = [];
    for (const [rank, i] of descendingOrder(own.map(({ score }) => score)).entries()) {
      if (own[i].kind === "correct") precisions.push((precisions.length + 1) / (rank + 1));
    }
    sum += interpolatedPrecision(Float64Array.from(precisions), positives[ofClass]);
    defined++;
  }
  return sum / defined;
}

function countKinds(verdicts: readonly Verdict[], missed: number): Record<DetectionErrorKind, number> {
  const count = (kind: DetectionErrorKind) => verdicts.filter((verdict) => verdict.kind === kind).length;
  return {
    localisation: count("localisation"),
    class: count("class"),
    classAndLocalisation: count("classAndLocalisation"),
    duplicate: count("duplicate"),
    background: count("background"),
    missed,
  };
}

function countSizes({ areas, found }: Tally): DetectionErrors["sizes"] {
  const small = cocoAreaRanges.small[1];
  const medium = cocoAreaRanges.medium[1];
  const within = (isWithin: (area: number) => boolean) => {
    const own = areas.flatMap((area, g) => (isWithin(area) ? [found[g]] : []));
    return { truths: own.length, found: own.filter(Boolean).length };
  };
  return {
    small: within((area) => area <= small),
    medium: within((area) => area > small && area <= medium),
    large: within((area) => area > medium),
  };
}
