import type { RgbImage } from "../core/image.ts";
import { letterboxImage } from "../data/box-transforms/letterboxed-image.ts";
import type { DetectionSet } from "../data/detection/detection-set.ts";
import { openDetectionSet } from "../data/detection/open-detection-set.ts";
import { isClassAgnostic, type NamingMethod, objectClass } from "../evaluation/detection-settings.ts";
import type { LedgerEntry } from "../evaluation/ledger-entry.ts";
import { openDetection } from "../evaluation/open-detection.ts";
import type { FoundBoxes } from "../models/detection/decode-detections.ts";
import { detectorPresets } from "../models/detection/detector.ts";
import { labelPlaces } from "../tasks/detection/class-prompts.ts";
import { type DetectFilesOptions, findCandidates } from "../tasks/detection/detection.ts";
import type { FindsBoxes } from "../tasks/detection/score-detections.ts";
import { startFromDetector, startFromModel, type TuningStart } from "../training/detection-tuning.ts";
import { readCheckpoint } from "../zoo/checkpoint-formats.ts";
import { readDetector } from "../zoo/detector-files.ts";
import type { DetectorModel } from "../zoo/detector-model.ts";
import type { FlorenceModel } from "../zoo/florence-model.ts";
import { loadDetector } from "../zoo/load-detector.ts";
import type { CommandContext } from "./context.ts";
import { type StartOptions, startingDetector } from "./detection-recipe-options.ts";

const problemsShown = 10;

/** Opens a set of boxes and says on stderr what is wrong with it. Under `strict` anything left out refuses the set. */
export async function openReportedSet(
  context: Pick<CommandContext, "log" | "signal">,
  path: string,
  strict: boolean,
): Promise<DetectionSet> {
  const set = await openDetectionSet(path, { strict, signal: context.signal });
  const grave = set.problems.filter(({ action }) => action !== "noted");
  for (const { error } of grave.slice(0, problemsShown)) context.log(error.message);
  const rest = grave.length - problemsShown;
  if (rest > 0) context.log(`${path}: ${rest} more problems; \`florence data inspect ${path}\` lists them all.`);
  return set;
}

/** Where a tuning starts: at a detector, or at the model's image encoder. @throws UserError as reading either does */
export async function tuningStart(
  context: CommandContext,
  options: StartOptions,
  classes: readonly string[],
): Promise<TuningStart> {
  const { model, window, layout = "fine" } = options;
  const detector = startingDetector(options);
  if (detector !== undefined) {
    return startFromDetector(await readDetector(await context.modelFolder(detector)), classes);
  }
  const checkpoint = await readCheckpoint(await context.modelFolder(model));
  const loaded = await context.loadModel(model);
  await loaded.dispose();
  return startFromModel(checkpoint, loaded.fingerprint, {
    layout: detectorPresets[layout],
    ...(window === undefined ? {} : { window }),
  });
}

/** A detector's folder, ready to look at pictures for a set's classes, and all that decides what it finds. */
export interface OpenedDetector {
  readonly finds: FindsBoxes;
  readonly model: LedgerEntry["model"];
  readonly protocol: LedgerEntry["protocol"];
  dispose(): Promise<void>;
}

interface DetectorChoice {
  readonly detector: string; // folder
  readonly model: string; // names proposals
  readonly method?: NamingMethod | undefined;
}

/**
 * Opens a detector for the classes of a set, as `florence detect` would for these labels, but with every box that counts
 * for AP. One that only finds objects has them named by an image–text model, unless the set has one class alone and
 * `method` does not ask for names.
 *
 * @throws UserError: bad-argument for classes that it does not have, mismatch if it was made with another model
 */
export async function openDetectorFor(
  context: CommandContext,
  { detector: folder, model: modelName, method }: DetectorChoice,
  classes: readonly string[],
): Promise<OpenedDetector> {
  const { cacheFolder, signal } = context;
  const detector = await loadDetector(await context.modelFolder(folder), { signal });
  let namer: FlorenceModel | undefined;
  const dispose = async (): Promise<void> => {
    await detector.dispose();
    await namer?.dispose();
  };
  try {
    const isNamed = method !== undefined && method !== "head";
    const labels = isClassAgnostic(detector.classes) && classes.length === 1 && !isNamed ? [objectClass] : classes;
    const opened = await openDetection({
      ...{ detector, labels, method, scoreThreshold: 0, backgrounds: [], cacheFolder, signal, onWarning: context.log },
      loadModel: async () => {
        namer = await context.loadModel(modelName, { signal });
        return namer;
      },
    });
    const { proposals, margin, score } = opened.settings;
    return {
      finds: new LabelFinder(detector, { ...opened, signal }, labels),
      model: { name: detector.name, fingerprint: detector.fingerprint },
      protocol: {
        ...{ side: detector.preprocessing.side, method: opened.settings.method, score },
        ...(opened.settings.model && { namer: opened.settings.model.fingerprint }),
        ...(proposals !== undefined && { proposals }),
        ...(margin !== undefined && { margin }),
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** A detection as `florence detect` has it, on decoded pictures and with the labels' places for their names. */
class LabelFinder implements FindsBoxes {
  readonly #detector: DetectorModel;
  readonly #detection: DetectFilesOptions;
  readonly #placeOf: (label: string) => number;

  constructor(detector: DetectorModel, detection: DetectFilesOptions, labels: readonly string[]) {
    this.#detector = detector;
    this.#detection = detection;
    this.#placeOf = labelPlaces(labels);
  }

  async detect(pictures: readonly RgbImage[]): Promise<FoundBoxes[]> {
    const { namer, signal, keepsOriginal } = this.#detection;
    const images = pictures.map((image) => letterboxImage(image, this.#detector.preprocessing, keepsOriginal));
    const found = await findCandidates(images, this.#detection);
    const results: FoundBoxes[] = [];
    for (const [i, image] of images.entries()) {
      const detections = await namer(found[i], image, signal);
      results.push({
        boxes: Float32Array.from(detections.flatMap(({ box }) => [...box])),
        classes: Int32Array.from(detections, ({ label }) => this.#placeOf(label)),
        scores: Float32Array.from(detections, ({ score }) => score),
      });
    }
    return results;
  }
}
