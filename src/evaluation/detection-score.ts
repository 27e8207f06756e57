import { UserError } from "../core/errors.ts";
import type { DetectionImage, DetectionSet } from "../data/detection/detection-set.ts";
import type { SplitName } from "../data/labelled/labelled-set.ts";
import { drawBoxes } from "../io/draw-boxes.ts";
import { detectionErrorKinds } from "../metrics/detection/detection-errors.ts";
import {
  averagePrecisionOf,
  type DetectedPicture,
  type DetectSetOptions,
  detectSet,
  type FindsBoxes,
  precisionInterval,
  randomDetections,
  scoreDetections,
} from "../tasks/detection/score-detections.ts";
import type { EvaluationDetails, EvaluationExample } from "./evaluation-details.ts";
import { writeDetails } from "./evaluation-details.ts";
import type { Ledger } from "./ledger.ts";
import { type EntryIdentity, entryKey, type LedgerEntry, ledgerEntrySchema } from "./ledger-entry.ts";
import { packageVersion } from "./run-evaluation.ts";

/** The pictures that a detector is scored on. @throws UserError (empty) naming the splits there are */
export function splitImages(set: DetectionSet, split: string): readonly DetectionImage[] {
  const images = set.splits.get(split as SplitName);
  if (images) return images;
  const there = [...set.splits.keys()].join(", ");
  throw new UserError("empty", `${set.path}: must have a split ${split}, got ${there}. Name one of these.`);
}

export interface DetectionRun {
  readonly set: DetectionSet;
  readonly split: string;
  readonly model: { readonly name: string; readonly fingerprint: string };
  readonly protocol: LedgerEntry["protocol"];
  readonly seed: number | null;
}

/** What decides a detector's score, known before anything is computed. */
export function detectionIdentity({ set, split, model, protocol, seed }: DetectionRun): EntryIdentity {
  const data = { fingerprint: set.fingerprint, split };
  return { task: "detection", metric: "ap", protocol, seed, model: { fingerprint: model.fingerprint }, data };
}

/**
 * Scores a detector on a split of a set and appends the score to the ledger: AP, with AP50, AP75, sizes, what is wrong,
 * its interval over pictures, and as chance the AP of random boxes on the same pictures.
 *
 * @throws UserError (empty) if no picture of the split can be used
 */
export async function recordDetectionScore(
  detector: FindsBoxes,
  run: DetectionRun,
  ledger: Ledger,
  options: DetectSetOptions = {},
): Promise<LedgerEntry> {
  const { set, split, model, protocol, seed } = run;
  const started = performance.now();
  const images = splitImages(set, split);
  const pictures = await detectSet(detector, set, images, options);
  if (pictures.length === 0) throw new UserError("empty", `${set.path}: must have a picture that decodes, got none.`);
  const classes = set.classes.length;
  const { coco, errors } = scoreDetections(pictures, classes);
  const random = averagePrecisionOf(randomDetections(images, classes, 0), classes);
  const random50 = scoreDetections(randomDetections(images, classes, 0), classes).coco.ap50;
  const { perClass, ...scores } = coco;
  const details: EvaluationDetails = {
    classes: perClass.flatMap(({ class: own, truths, ap }) =>
      truths > 0 ? [{ name: set.classes[own], n: truths, score: ap }] : [],
    ),
    notes: errorNotes(errors),
    ...(await extremes(set, pictures)),
  };
  const identity = detectionIdentity(run);
  const entry = ledgerEntrySchema.parse({
    task: "detection",
    metric: "ap",
    score: share(coco.ap),
    interval: precisionInterval(pictures, classes),
    chance: share(random),
    n: pictures.length,
    failed: images.length - pictures.length,
    model,
    data: { name: set.name, fingerprint: set.fingerprint, split },
    protocol,
    seed,
    metrics: { ...defined({ ...scores }), randomAp50: share(random50) },
    details: await writeDetails(ledger.path, entryKey(identity), details),
    version: packageVersion,
    seconds: Number(((performance.now() - started) / 1000).toFixed(3)),
    date: new Date().toISOString(),
  });
  ledger.append(entry);
  return entry;
}

const share = (value: number): number => (Number.isNaN(value) ? 0 : value);

/** Scores of what there is: without a small truth there is no score of small ones. */
function defined(scores: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(scores).filter(([, value]) => !Number.isNaN(value)));
}

function errorNotes({ counts, ap50Gains, sizes }: ReturnType<typeof scoreDetections>["errors"]): string[] {
  const kinds = detectionErrorKinds.map((kind) => `${kind} ${counts[kind]} (+${(100 * ap50Gains[kind]).toFixed(1)})`);
  const found = Object.entries(sizes).map(([size, { truths, found: hits }]) => `${size} ${hits} of ${truths}`);
  return [
    `Errors at IoU 0.5, and the points of AP50 that mending each kind would add: ${kinds.join(", ")}.`,
    `Objects found at IoU 0.5 by size: ${found.join(", ")}.`,
  ];
}

const shown = 6;
const leastShown = 0.3; // score of a drawn box

/** The pictures with the best and the worst AP50 of their own, drawn: found boxes full, missed ones broken. */
async function extremes(
  set: DetectionSet,
  pictures: readonly DetectedPicture[],
): Promise<Pick<EvaluationDetails, "best" | "worst">> {
  const ranked = pictures
    .filter(({ image }) => image.boxes.length > 0)
    .map((picture) => ({ picture, ap50: share(scoreDetections([picture], set.classes.length).coco.ap50) }))
    .sort((a, b) => b.ap50 - a.ap50);
  const draw = async (some: typeof ranked): Promise<EvaluationExample[]> =>
    Promise.all(some.map(({ picture, ap50 }) => drawExample(set, picture, ap50)));
  const best = ranked.slice(0, shown);
  return { best: await draw(best), worst: await draw(ranked.slice(best.length).slice(-shown).reverse()) };
}

async function drawExample(
  set: DetectionSet,
  { image, found }: DetectedPicture,
  ap50: number,
): Promise<EvaluationExample> {
  return {
    key: image.key,
    jpeg: Buffer.from(await drawDetections(set, { image, found })).toString("base64"),
    caption: `${image.boxes.length} objects`,
    answer: `${[...found.scores].filter((score) => score >= leastShown).length} boxes from ${leastShown} on, AP50`,
    score: ap50,
  };
}

/** A picture with what is in it (broken lines) and what was found (full lines, with scores), as JPEG. */
export async function drawDetections(set: DetectionSet, { image, found }: DetectedPicture): Promise<Uint8Array> {
  const truths = image.boxes.map(({ box, class: own }) => ({ box, label: "", class: own, dashed: true }));
  const boxes = [...found.scores].flatMap((score, i) => {
    if (score < leastShown) return [];
    const [x0, y0, x1, y1] = found.boxes.subarray(4 * i, 4 * i + 4);
    return [{ box: [x0, y0, x1, y1] as const, label: set.classes[found.classes[i]], class: found.classes[i], score }];
  });
  return drawBoxes(await set.decode(image), [...truths, ...boxes]);
}
