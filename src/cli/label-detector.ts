import { type Box, clipBox } from "../core/boxes.ts";
import { UserError } from "../core/errors.ts";
import type { RgbImage } from "../core/image.ts";
import { cropPicture } from "../data/box-transforms/augment-boxes.ts";
import { shrunk } from "../data/detection/picture-store.ts";
import { failedFile } from "../io/file-walk.ts";
import { decodeImage } from "../io/images.ts";
import { Detector } from "../models/detection/detector.ts";
import { averageTextEmbeddings } from "../tasks/classification/text-averages.ts";
import { type ZeroShotClassifier, zeroShotClassifier } from "../tasks/classification/zero-shot-classifier.ts";
import type { FoundBoxes } from "../tasks/detection/decode-detections.ts";
import type { DetectedFile, DetectFiles, LabelledBox } from "../tasks/detection/labelling/label-folder.ts";
import { PictureDetector } from "../tasks/detection/picture-detector.ts";
import { detectorFingerprint, type ReadDetector, readDetector } from "../zoo/detector-files.ts";
import type { FlorenceModel } from "../zoo/florence-model.ts";
import type { CommandContext } from "./context.ts";

export interface LabelDetectorOptions {
  readonly detector: string; // folder
  readonly model: string; // names what a class-agnostic detector finds
  readonly labels: readonly string[];
  readonly minScore: number;
}

/** Something that labels files, and what decides its labels. */
export interface LabelDetector {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly detect: DetectFiles;
  dispose(): Promise<void>;
}

/** Turns what was found in a picture into labelled boxes. */
type NameBoxes = (image: RgbImage, found: FoundBoxes) => Promise<LabelledBox[]>;

const picturesAtOnce = 4;
const proposals = 20; // best of a picture that are named by another model
const margin = 0.1; // of a box's sides that its crop has more on each side

/**
 * Opens a detector for the labels asked for: its own classes, any texts for one with text classes, and for one that only
 * finds objects the labels of a two-tower model on each box's crop, whose probability multiplies the score.
 *
 * @throws UserError: mismatch if it has no such class, or was made with another two-tower model
 */
export async function openLabelDetector(
  context: CommandContext,
  { detector: folder, model: modelName, labels, minScore }: LabelDetectorOptions,
): Promise<LabelDetector> {
  const stored = await readDetector(folder);
  const { classes, preprocessing, architecture, weights } = stored;
  if (preprocessing.padding !== "square") {
    throw new UserError(
      "unsupported",
      `${folder}: padding must be "square" to label with, got "${preprocessing.padding}".`,
    );
  }
  const settings = { detector: detectorFingerprint(stored), labels, minScore };
  const start = (texts?: Float32Array): PictureDetector =>
    new PictureDetector({
      detector: new Detector(architecture),
      weights,
      side: preprocessing.side,
      decode: { scoreThreshold: Math.min(0.05, minScore) },
      ...(texts ? { texts } : {}),
    });
  if (classes.kind === "text") {
    const texts = await textsOf(context, stored, labels);
    return opened(start(texts), settings, minScore, async (_, found) => boxesOf(found, labels));
  }
  if (classes.names.join() === "object" && !labels.includes("object")) {
    const model = await context.loadModel(modelName, { signal: context.signal });
    const classifier = await zeroShotClassifier(model, labels, undefined, { cacheFolder: context.cacheFolder });
    const named = { ...settings, model: model.fingerprint };
    const name: NameBoxes = (image, found) => nameCrops(image, found, model, classifier);
    return opened(start(), named, minScore, name, () => model.dispose());
  }
  const missing = labels.find((label) => !classes.names.includes(label));
  if (missing !== undefined) {
    const rule = `${folder}: labels must be among its classes ${classes.names.join(", ")}`;
    throw new UserError("mismatch", `${rule}, got "${missing}". Take another detector or other labels.`);
  }
  return opened(start(), settings, minScore, async (_, found) =>
    boxesOf(found, classes.names).filter(({ label }) => labels.includes(label)),
  );
}

async function textsOf(
  context: CommandContext,
  { name, classes }: ReadDetector,
  labels: readonly string[],
): Promise<Float32Array> {
  if (classes.kind !== "text") return new Float32Array();
  const { embedder, templates } = classes;
  const model = await context.loadModel(embedder.name, { signal: context.signal });
  try {
    if (model.fingerprint !== embedder.fingerprint) {
      const rule = `${name}: was made with ${embedder.name} of fingerprint ${embedder.fingerprint.slice(0, 12)}`;
      throw new UserError("mismatch", `${rule}, got ${model.fingerprint.slice(0, 12)}. Use that model.`);
    }
    return await averageTextEmbeddings(model, labels, templates, { signal: context.signal });
  } finally {
    await model.dispose();
  }
}

function opened(
  looking: PictureDetector,
  settings: Readonly<Record<string, unknown>>,
  minScore: number,
  name: NameBoxes,
  close: () => Promise<void> = async () => undefined,
): LabelDetector {
  return {
    settings,
    async *detect(paths): AsyncGenerator<DetectedFile> {
      let group: string[] = [];
      for await (const path of paths) {
        group.push(path);
        if (group.length < picturesAtOnce) continue;
        yield* detectGroup(looking, group, minScore, name);
        group = [];
      }
      if (group.length > 0) yield* detectGroup(looking, group, minScore, name);
    },
    async dispose() {
      await looking.dispose();
      await close();
    },
  };
}

async function* detectGroup(
  looking: PictureDetector,
  paths: readonly string[],
  minScore: number,
  name: NameBoxes,
): AsyncGenerator<DetectedFile> {
  const decoded = await Promise.all(
    paths.map((path) => decodeImage(path).catch((error: unknown) => failedFile(path, error))),
  );
  const images = decoded.filter((image): image is RgbImage => "data" in image);
  const found = await looking.detect(images.map((image) => ({ image: shrunk(image, 1024), original: image })));
  let next = 0;
  for (const [i, image] of decoded.entries()) {
    if ("error" in image) yield image;
    else {
      const boxes = await name(image, found[next++] as FoundBoxes);
      yield { path: paths[i] as string, detections: boxes.filter(({ score }) => score >= minScore) };
    }
  }
}

function boxesOf({ boxes, classes, scores }: FoundBoxes, names: readonly string[]): LabelledBox[] {
  return Array.from(scores, (score, i) => ({
    box: boxAt(boxes, i),
    label: names[classes[i] as number] as string,
    score,
  }));
}

/** Score: that of the box times the label's probability among the labels given. */
async function nameCrops(
  image: RgbImage,
  { boxes, scores }: FoundBoxes,
  model: FlorenceModel,
  classifier: ZeroShotClassifier,
): Promise<LabelledBox[]> {
  const best = Array.from(scores.subarray(0, proposals), (_, i) => boxAt(boxes, i)); // best first
  const usable = best.filter(([x0, y0, x1, y1]) => x1 - x0 >= 1 && y1 - y0 >= 1);
  const embeddings = await model.embedImages(usable.map((box) => cropOf(image, box)));
  return usable.map((box, i) => {
    const [top] = classifier.classify(embeddings[i] as Float32Array, 1);
    return { box, label: top.label, score: (scores[best.indexOf(box)] as number) * top.probability };
  });
}

function cropOf(image: RgbImage, [x0, y0, x1, y1]: Box): RgbImage {
  const [dx, dy] = [margin * (x1 - x0), margin * (y1 - y0)];
  const wide: Box = [Math.floor(x0 - dx), Math.floor(y0 - dy), Math.ceil(x1 + dx), Math.ceil(y1 + dy)];
  return cropPicture({ image, boxes: [] }, clipBox(wide, image.width, image.height)).image;
}

function boxAt(boxes: Float32Array, i: number): Box {
  return [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]] as Box;
}
