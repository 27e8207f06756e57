/// <reference lib="dom" preserve="true" />
import * as ort from "onnxruntime-web/wasm";
import type { Box } from "../core/boxes.ts";
import { UserError } from "../core/errors.ts";
import { restoreBox } from "../data/box-transforms/boxed-picture.ts";
import { letterbox } from "../data/box-transforms/resize-boxes.ts";
import { decodeScoredBoxes } from "../models/detection/decode-scored-boxes.ts";
import { type ExportedDetector, exportedDetectorSchema } from "../models/exported-detector.ts";
import type { CallOptions } from "./aborting.ts";
import { createSession, type LoadOptions, openExportedFolder } from "./exported-folder.ts";
import { decodeImage, type ImageSource } from "./image-decoding.ts";
import { WebSessions } from "./web-sessions.ts";

/** Something that was found in a picture. */
export interface WebDetection {
  readonly box: Box; // xyxy, pixels of the picture as it is shown
  readonly class: number; // of the detector's names, or of the rows of `texts`
  readonly score: number; // in (0, 1)
}

export interface WebDetectOptions extends CallOptions {
  /** Class embeddings of length 1, one a label, for a detector whose classes are texts; from the model it names. */
  readonly texts?: readonly Float32Array[];
  readonly scoreThreshold?: number; // 0.3
  readonly nmsThreshold?: number; // IoU; 0.6
  readonly maxDetections?: number; // of a picture; 100
}

/** An exported detector in the browser. */
export interface WebDetector {
  readonly name: string;
  readonly fingerprint: string;
  readonly classes: ExportedDetector["classes"];
  /** What is in each picture, best first. */
  detect(images: readonly ImageSource[], options?: WebDetectOptions): Promise<WebDetection[][]>;
  /** Frees the session; the detector is unusable afterwards, and calls under way reject. */
  dispose(): Promise<void>;
}

/**
 * Loads a folder that `florence export` wrote of a detector. The file is fetched when it is first used.
 *
 * @param address  of the folder
 * @throws UserError naming the file that is missing or not as it should be; the signal's reason after an abort
 */
export async function loadDetector(address: string | URL, options: LoadOptions = {}): Promise<WebDetector> {
  const { folder, description } = await openExportedFolder(
    address,
    exportedDetectorSchema,
    "Export a detector there.",
    options,
  );
  return new ExportedWebDetector(folder, description);
}

class ExportedWebDetector implements WebDetector {
  readonly #description: ExportedDetector;
  readonly #sessions: WebSessions;

  constructor(folder: URL, description: ExportedDetector) {
    this.#description = description;
    this.#sessions = new WebSessions(description.name, (file, options) => createSession(folder, file, options));
  }

  get name(): string {
    return this.#description.name;
  }

  get fingerprint(): string {
    return this.#description.fingerprint;
  }

  get classes(): ExportedDetector["classes"] {
    return this.#description.classes;
  }

  async detect(images: readonly ImageSource[], options: WebDetectOptions = {}): Promise<WebDetection[][]> {
    this.#sessions.requireOpen();
    options.signal?.throwIfAborted();
    const texts = this.#textsOf(options.texts);
    const results: WebDetection[][] = [];
    for (const source of images) {
      this.#sessions.requireOpen(); // before a picture is fetched in vain
      results.push(await this.#detectOne(source, texts, options));
    }
    return results;
  }

  dispose(): Promise<void> {
    return this.#sessions.dispose();
  }

  async #detectOne(
    source: ImageSource,
    texts: ort.Tensor | undefined,
    { scoreThreshold = 0.3, nmsThreshold = 0.6, maxDetections = 100, signal }: WebDetectOptions,
  ): Promise<WebDetection[]> {
    const { file, canvas } = this.#description;
    const { width, height, filter, grey, align } = canvas;
    const image = await decodeImage(source, { signal });
    const placed = letterbox({ image, boxes: [] }, width, height, { filter, grey, align });
    const pixels = new ort.Tensor("uint8", placed.image.data, [1, height, width, 3]);
    const outputs = await this.#sessions.run(file, texts ? { pixels, texts } : { pixels }, { signal });
    const [boxes, scores] = [outputs.boxes?.data as Float32Array, outputs.scores?.data as Float32Array];
    const found = decodeScoredBoxes(boxes, scores, {
      ...{ width, height, scoreThreshold },
      ...{ iouThreshold: nmsThreshold, limit: maxDetections },
    });
    return [...found.scores].map((score, i) => {
      const at = 4 * i;
      const box: Box = [found.boxes[at], found.boxes[at + 1], found.boxes[at + 2], found.boxes[at + 3]];
      return { box: restoreBox(box, placed.placement, image), class: found.classes[i] as number, score };
    });
  }

  #textsOf(texts: readonly Float32Array[] | undefined): ort.Tensor | undefined {
    const { classes, name } = this.#description;
    if (classes.kind === "fixed") {
      if (texts === undefined) return undefined;
      throw new UserError("bad-argument", `${name}: its classes are fixed, got texts. Leave them out.`);
    }
    const rule = `${name}: texts must be class embeddings of ${classes.embedding} numbers, one a label`;
    if (!texts || texts.length === 0 || texts.some((row) => row.length !== classes.embedding)) {
      const got = texts && texts.length > 0 ? "others" : "none";
      throw new UserError("bad-argument", `${rule}, got ${got}. Embed the labels with ${classes.embedder.name}.`);
    }
    const flat = new Float32Array(texts.length * classes.embedding);
    for (const [i, row] of texts.entries()) flat.set(row, i * classes.embedding);
    return new ort.Tensor("float32", flat, [texts.length, classes.embedding]);
  }
}
