import { ShapeError, UserError } from "../../core/errors.ts";
import type { DetectionClasses } from "../../models/detection/atss-head.ts";
import { Detector, type DetectorConfig } from "../../models/detection/detector.ts";
import { type CoSwinConfig, ownWindow } from "../../models/image-encoder/coswin.ts";
import { resizeWeights } from "../../models/resize-weights.ts";
import { initialWeights, type Weights } from "../../nn/module.ts";

/** A detector and the values of all its parameters. */
export interface DetectorWeights {
  readonly detector: Detector;
  readonly weights: Weights;
}

export interface EncoderStart {
  readonly image: CoSwinConfig;
  /** A two-tower model's or an encoder's parameters; those under `imageEncoder.` are taken. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/**
 * A detector on the image encoder of a pretrained model, the rest of it at random.
 *
 * @param imageSize  pixels of the side that pictures will have: windows and shifts are laid out for it
 * @param window     tokens of an attention window; the encoder's own window at its own image size if left out, so that
 *                   what it learnt of positions stays true
 */
export function detectorFromEncoder(
  { image, weights }: EncoderStart,
  config: Omit<DetectorConfig, "image">,
  { imageSize, window, seed }: { readonly imageSize: number; readonly window?: number; readonly seed: number },
): DetectorWeights {
  const detector = new Detector({ ...config, image: { ...image, imageSize, window: window ?? ownWindow(image) } });
  const prefix = "imageEncoder.";
  const own = new Map(
    [...weights].filter(([name]) => name.startsWith(prefix)).map(([n, d]) => [n.slice(prefix.length), d]),
  );
  const encoder = resizeWeights(detector.imageEncoder, own);
  const start = initialWeights(detector, seed);
  for (const [name, data] of encoder) start.set(prefix + name, data);
  return { detector, weights: start };
}

/**
 * The same detector for other classes. A class map of the same kind and number stays; a class-agnostic one is repeated, so
 * that each class starts as "an object" that is of its class as often as objects are; else it begins at random.
 *
 * @param shares  [K], how often an object is of each class, all above 0; equal ones if left out
 */
export function withClasses(
  { detector, weights }: DetectorWeights,
  classes: DetectionClasses,
  seed: number,
  shares?: readonly number[],
): DetectorWeights {
  const before = detector.config.classes;
  const next = new Detector({ ...detector.config, classes });
  const fresh = initialWeights(next, seed);
  const same =
    before.kind === "text" && classes.kind === "text"
      ? before.embedding === classes.embedding
      : sameCount(before, classes);
  const isClassifier = (name: string): boolean => name.startsWith("head.classifier.");
  for (const [name, data] of fresh) {
    const known = weights.get(name);
    if (!isClassifier(name) || same) {
      if (known?.length !== data.length) throw new ShapeError(`withClasses: ${name} must hold ${data.length} values`);
      fresh.set(name, known.slice());
    } else if (before.kind === "fixed" && before.count === 1 && known) {
      const isWeight = name.endsWith("weight");
      // The logit of a small probability moves by the logarithm of a factor on it.
      const shift = (k: number): number => Math.log(shares?.[k] ?? 1 / data.length);
      for (let i = 0; i < data.length; i++) data[i] = known[i % known.length] + (isWeight ? data[i] : shift(i));
    }
  }
  return { detector: next, weights: fresh };
}

function sameCount(a: DetectionClasses, b: DetectionClasses): boolean {
  return a.kind === "fixed" && b.kind === "fixed" && a.count === b.count;
}

/** The image encoder's configuration, if detectors can be built on it. @throws UserError (unsupported) */
export function requireCoSwin(image: { readonly kind: string }, name: string): CoSwinConfig {
  if (image.kind === "coswin") return image as CoSwinConfig;
  const rule = "must have a CoSwin image encoder to build a detector on";
  throw new UserError("unsupported", `${name}: ${rule}, got one of kind ${image.kind}. Choose another model.`);
}
