import { UserError } from "../core/errors.ts";
import { decodeImage } from "../io/images.ts";
import { embedClasses } from "../tasks/classification/class-embeddings.ts";
import { ZeroShotClassifier } from "../tasks/classification/label-probabilities.ts";
import { checkTemplates } from "../tasks/classification/prompts.ts";
import { defaultTemplates } from "../tasks/classification/templates.data.ts";
import {
  cropEmbeddings,
  exampleCrop,
  headNamer,
  proposalNamer,
  regionEmbeddings,
  type Selection,
} from "../tasks/detection/box-naming.ts";
import { type ClassPrompts, checkDetectionLabels, joinExamples } from "../tasks/detection/class-prompts.ts";
import type { DetectFilesOptions } from "../tasks/detection/detection.ts";
import type { RegionEmbedder } from "../tasks/detection/types.ts";
import type { DetectorModel } from "../zoo/detector-model.ts";
import type { FlorenceModel } from "../zoo/florence-model.ts";
import {
  askedLabels,
  checkChoices,
  type DetectionChoices,
  type DetectionSettings,
  defaultMethod,
  detectionDefaults,
  leastCandidate,
  type NamingMethod,
} from "./detection-settings.ts";

export interface OpenDetectionOptions extends DetectionChoices {
  readonly detector: DetectorModel;
  /** Loads the two-tower model, where one is needed; whoever loads it frees it. */
  readonly loadModel: () => Promise<FlorenceModel>;
  /** Where class embeddings are kept from run to run. */
  readonly cacheFolder?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** All that `detectFiles` needs but the pictures, and a record of how it was made. */
export interface OpenedDetection extends Omit<DetectFilesOptions, "signal"> {
  readonly settings: DetectionSettings;
}

/**
 * Puts a detector and, where it is needed, a two-tower model together: by the detector's own head, or by propose, then
 * classify.
 *
 * @throws UserError bad-argument (labels, examples), mismatch (the head was trained with another two-tower model)
 */
export async function openDetection(options: OpenDetectionOptions): Promise<OpenedDetection> {
  const { detector, labels } = options;
  const checked = { ...options, ...(labels && { labels: checkDetectionLabels(labels) }) };
  checkChoices(detector.name, detector.classes, checked);
  const { scoreThreshold = detectionDefaults.scoreThreshold, nmsThreshold = detectionDefaults.nmsThreshold } = options;
  const selection = { scoreThreshold, nmsThreshold, limit: options.maxDetections ?? detectionDefaults.maxDetections };
  const opened = { finder: detector, nmsThreshold };
  // The final score is at most the class's, of named proposals at most that to the power of its weight.
  const { objectnessWeight = detectionDefaults.objectnessWeight } = options;
  const method = options.method ?? defaultMethod(detector.classes, checked);
  if (method !== "head") {
    const candidateThreshold = Math.max(leastCandidate, scoreThreshold ** (1 / Math.max(objectnessWeight, 1e-3)));
    return {
      ...opened,
      candidateThreshold: below(candidateThreshold),
      ...(await openProposals(checked, selection, method)),
    };
  }
  const candidateThreshold = below(Math.max(leastCandidate, scoreThreshold));
  return { ...opened, candidateThreshold, ...(await openHead(checked, selection)) };
}

type Rest = Omit<OpenedDetection, "finder" | "nmsThreshold" | "candidateThreshold">;

async function openHead(options: OpenDetectionOptions, selection: Selection): Promise<Rest> {
  const { detector, examples = [] } = options;
  const { classes } = detector;
  const method: NamingMethod = "head";
  const shared = { method, detector: factsOf(detector), score: "class · centerness", ...thresholdsOf(selection) };
  const rest = { candidates: selection.limit, keepsOriginal: false };
  if (classes.kind === "fixed") {
    const asked = askedLabels(options);
    const labels = asked.length > 0 ? asked : classes.names;
    const namer = headNamer(classes.names, new Set(labels), selection);
    // Labels that are not asked for must not take the places of those that are.
    return { ...rest, candidates: 10 * selection.limit, namer, settings: { ...shared, labels } };
  }
  const model = await options.loadModel();
  requireEmbedder(detector, model);
  const prompts = await classPrompts(options, model, classes.templates);
  const { labels } = prompts;
  const settings = { ...shared, labels, model: factsOf(model), templates: classes.templates };
  return {
    ...rest,
    namer: headNamer(labels, new Set(labels), selection),
    texts: prompts.vectors,
    settings: { ...settings, ...(examples.length > 0 && { examples }) },
  };
}

async function openProposals(
  options: OpenDetectionOptions,
  selection: Selection,
  method: Exclude<NamingMethod, "head">,
): Promise<Rest> {
  const { detector, examples = [] } = options;
  const { backgrounds = detectionDefaults.backgrounds, proposals = detectionDefaults.proposals } = options;
  const { margin = detectionDefaults.margin, objectnessWeight = detectionDefaults.objectnessWeight } = options;
  const templates = checkTemplates(options.templates ?? defaultTemplates);
  const model = await options.loadModel();
  const embedBoxes =
    method === "crops" ? cropEmbeddings(model, margin) : regionEmbeddings(requireRegions(model), margin);
  const sharesEncoder = method === "regions" && detector.encoderOf === model.fingerprint;
  const byLikeness = examples.length > 0;
  const prompts = await classPrompts(options, model, templates, byLikeness ? [] : backgrounds);
  const labels = askedLabels(options);
  const { vectors } = prompts;
  const classifier = new ZeroShotClassifier(prompts.labels, vectors, model.logitScale, model.scoring);
  const likeness = (embedding: Float32Array) => classifier.logits(embedding).map((logit) => logit / model.logitScale);
  const probabilities = byLikeness ? likeness : (embedding: Float32Array) => classifier.probabilities(embedding);
  const texts = await proposalTexts(detector, model, vectors.subarray(0, labels.length * model.embedDim));
  const share = `${objectnessWeight} · ${byLikeness ? "cosine" : "probability"}^${round(1 - objectnessWeight)}`;
  return {
    namer: proposalNamer({ ...selection, embedBoxes, labels, probabilities, proposals, objectnessWeight }),
    candidates: 4 * proposals, // suppression among boxes of all classes leaves fewer
    keepsOriginal: method === "crops",
    keepsLevel: sharesEncoder,
    ...(texts && { texts }),
    settings: {
      ...{ method, detector: factsOf(detector), model: factsOf(model), labels, templates },
      ...(byLikeness ? { examples } : { backgrounds }),
      ...{ score: `objectness^${share}`, ...thresholdsOf(selection), proposals, margin },
      ...(method === "regions" && { sharesEncoder }),
    },
  };
}

/** Class vectors of all labels, then of background texts. */
async function classPrompts(
  { labels: words = [], examples = [], cacheFolder, signal, onWarning, ...rest }: OpenDetectionOptions,
  model: FlorenceModel,
  templates: readonly string[],
  backgrounds: readonly string[] = [],
): Promise<ClassPrompts> {
  const texts = [...words, ...backgrounds];
  const settings = { ...(cacheFolder && { cacheFolder }), ...(signal && { signal }), ...(onWarning && { onWarning }) };
  const embedded = texts.length > 0 ? await embedClasses(model, texts, templates, settings) : new Float32Array(0);
  if (examples.length === 0) return { labels: texts, vectors: embedded };
  const labels = askedLabels({ ...rest, labels: words, examples });
  const vectors = new Float32Array(labels.length * model.embedDim);
  vectors.set(embedded); // words come first among the labels
  const byLabel = new Map<string, Float32Array[]>();
  for (const { label, path, box } of examples) {
    const [embedding] = await model.embedImages([exampleCrop(await decodeImage(path), box, path)], { signal });
    byLabel.set(label, [...(byLabel.get(label) ?? []), embedding as Float32Array]);
  }
  return joinExamples({ labels, vectors }, byLabel);
}

/** What a detector whose classes are texts is to propose boxes for: the labels, where the model is the one it knows. */
async function proposalTexts(
  detector: DetectorModel,
  model: FlorenceModel,
  vectors: Float32Array,
): Promise<Float32Array | undefined> {
  if (detector.classes.kind === "fixed") return undefined;
  requireEmbedder(detector, model);
  return vectors.slice();
}

function requireEmbedder({ name, classes }: DetectorModel, model: FlorenceModel): void {
  if (classes.kind === "fixed" || classes.embedder.fingerprint === model.fingerprint) return;
  const rule = `${name}: labels must be embedded by the model that it was trained with, ${classes.embedder.name} (${classes.embedder.fingerprint.slice(0, 12)})`;
  throw new UserError(
    "mismatch",
    `${rule}, got ${model.name} (${model.fingerprint.slice(0, 12)}). Give that one as --model.`,
  );
}

function requireRegions({ name, embedRegions }: FlorenceModel): RegionEmbedder {
  if (embedRegions) return { embedRegions };
  const rule = `${name}: boxes can be named from regions by a model with a CoSwin image encoder alone, it has another`;
  throw new UserError("unsupported", `${rule}. Name them with --method crops.`);
}

function thresholdsOf({ scoreThreshold, nmsThreshold, limit }: Selection) {
  return { scoreThreshold, nmsThreshold, maxDetections: limit };
}

function factsOf({ name, fingerprint }: { readonly name: string; readonly fingerprint: string }) {
  return { name, fingerprint };
}

/** A little less: the threshold itself is let through. */
const below = (threshold: number): number => Math.min(0.999, threshold * (1 - 1e-6));

const round = (value: number): number => Number(value.toFixed(6));
