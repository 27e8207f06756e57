import { UserError } from "../core/errors.ts";
import type { DetectionSet } from "../data/detection/detection-set.ts";
import { openDetectionSet } from "../data/detection/open-detection-set.ts";
import { decode } from "../evaluation/detection-exposure.ts";
import type { LedgerEntry } from "../evaluation/ledger-entry.ts";
import { Detector, detectorPresets } from "../models/detection/detector.ts";
import { defaultTemplates } from "../tasks/classification/templates.data.ts";
import { zeroShotClassifier } from "../tasks/classification/zero-shot-classifier.ts";
import { defaultNaming, NamedProposals } from "../tasks/detection/named-proposals.ts";
import { PictureDetector } from "../tasks/detection/picture-detector.ts";
import type { FindsBoxes } from "../tasks/detection/score-detections.ts";
import { startFromDetector, startFromModel, type TuningStart } from "../training/detection-tuning.ts";
import { readCheckpoint } from "../zoo/checkpoint-formats.ts";
import { detectorFingerprint, type ReadDetector, readDetector } from "../zoo/detector-files.ts";
import type { CommandContext } from "./context.ts";
import type { LayoutOptions } from "./detection-recipe-options.ts";

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
  if (rest > 0) context.log(`${path}: ${rest} more problems; \`florence data inspect\` lists them all.`);
  return set;
}

/** Where a tuning starts: the detector's folder if there is one, else the model's image encoder. */
export async function tuningStart(
  context: CommandContext,
  { detector, model, window, layout }: LayoutOptions & { readonly detector?: string; readonly model: string },
  classes: readonly string[],
): Promise<TuningStart> {
  if (detector !== undefined) return startFromDetector(await readDetector(detector), classes);
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

/**
 * Opens a detector for the classes of a set: as it is if they are its own, in any order; one that only finds objects has
 * them named by an image–text model.
 *
 * @throws UserError: mismatch for other classes, unsupported for text classes and paddings that are not square
 */
export async function openDetectorFor(
  context: CommandContext,
  { detector: folder, model: modelName }: { readonly detector: string; readonly model: string },
  classes: readonly string[],
): Promise<OpenedDetector> {
  const stored = await readDetector(folder);
  const { preprocessing, architecture, weights, name } = stored;
  if (preprocessing.padding !== "square") {
    throw new UserError("unsupported", `${folder}: padding must be "square", got "${preprocessing.padding}".`);
  }
  const side = preprocessing.side;
  const own = new PictureDetector({ detector: new Detector(architecture), weights, side, decode });
  const model = { name, fingerprint: detectorFingerprint(stored) };
  const places = placesOf(stored, classes);
  if (places) {
    return { finds: renumbered(own, places), model, protocol: { side }, dispose: () => own.dispose() };
  }
  if (stored.classes.kind === "text" || stored.classes.names.length !== 1) {
    await own.dispose();
    const got = stored.classes.kind === "text" ? "texts" : stored.classes.names.join(", ");
    const rule = `${folder}: its classes must be those of the set, ${classes.join(", ")}, or it must find any object`;
    throw new UserError("mismatch", `${rule}, got ${got}. Tune it on the set first.`);
  }
  if (classes.length === 1) {
    return { finds: own, model, protocol: { side, naming: "none" }, dispose: () => own.dispose() };
  }
  const namer = await context.loadModel(modelName, { signal: context.signal });
  const classifier = await zeroShotClassifier(namer, classes, defaultTemplates, { cacheFolder: context.cacheFolder });
  const finds = new NamedProposals(own, async (pictures) => {
    const embeddings = await namer.embedImages(pictures, { signal: context.signal });
    return embeddings.map((embedding) => softmax(classifier.logits(embedding)));
  });
  const { proposals, margin, objectness, classesABox } = defaultNaming;
  const protocol = { side, naming: namer.fingerprint, proposals, margin, objectness, classesABox };
  const dispose = async (): Promise<void> => {
    await own.dispose();
    await namer.dispose();
  };
  return { finds, model, protocol, dispose };
}

/** The set's class for each class of the detector; undefined if they are not the same names. */
function placesOf({ classes }: ReadDetector, wanted: readonly string[]): Int32Array | undefined {
  if (classes.kind === "text" || classes.names.length !== wanted.length) return undefined;
  const places = Int32Array.from(classes.names, (name) => wanted.indexOf(name));
  return places.includes(-1) ? undefined : places;
}

function renumbered(detector: FindsBoxes, places: Int32Array): FindsBoxes {
  return {
    async detect(pictures) {
      const found = await detector.detect(pictures);
      return found.map((boxes) => ({ ...boxes, classes: boxes.classes.map((own) => places[own]) }));
    },
  };
}

function softmax(logits: Float64Array): Float64Array {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / total);
}
