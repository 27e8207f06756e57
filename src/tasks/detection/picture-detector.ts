import { ShapeError } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import { restoreBoxes } from "../../data/box-transforms/boxed-picture.ts";
import { letterbox } from "../../data/box-transforms/resize-boxes.ts";
import { input } from "../../graph/tensor.ts";
import type { AnchorGrid } from "../../models/detection/anchors.ts";
import { type DecodeOptions, decodeDetections, type FoundBoxes } from "../../models/detection/decode-detections.ts";
import type { Detector } from "../../models/detection/detector.ts";
import { namedParameters } from "../../nn/module.ts";
import { compile, type Program } from "../../runtime/program.ts";

export interface PictureDetectorOptions {
  readonly detector: Detector;
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly side: number; // of the square that pictures are fitted into
  readonly texts?: Float32Array; // [K, D], for a detector whose classes are texts
  readonly threads?: number;
  readonly decode?: Omit<DecodeOptions, "width" | "height">;
}

/** A detector of weights in memory on decoded pictures: fitted into a square, run, and told in their own pixels. */
export class PictureDetector {
  readonly #options: PictureDetectorOptions;
  readonly #programs = new Map<number, { program: Program; grid: AnchorGrid }>(); // by batch

  constructor(options: PictureDetectorOptions) {
    this.#options = options;
  }

  /** What is in each picture, in its own pixels. */
  async detect(pictures: readonly RgbImage[]): Promise<FoundBoxes[]> {
    const { side, texts, decode } = this.#options;
    if (pictures.length === 0) return [];
    const { program, grid } = await this.#programFor(pictures.length);
    const pixels = new Uint8Array(pictures.length * side * side * 3);
    const placements = pictures.map((image, i) => {
      const placed = letterbox({ image, boxes: [] }, side, side);
      pixels.set(placed.image.data, i * side * side * 3);
      return placed.placement;
    });
    const raw = await program.run({ pixels, ...(texts ? { texts } : {}) });
    const outputs = {
      logits: raw.logits as Float32Array,
      deltas: raw.deltas as Float32Array,
      centerness: raw.centerness as Float32Array,
    };
    const classes = outputs.logits.length / outputs.centerness.length;
    const found = decodeDetections(outputs, grid, classes, { ...decode, width: side, height: side });
    return found.map((each, i) => ({ ...each, boxes: restoreBoxes(each.boxes, placements[i], pictures[i]) }));
  }

  async dispose(): Promise<void> {
    for (const { program } of this.#programs.values()) await program.dispose();
    this.#programs.clear();
  }

  async #programFor(batch: number): Promise<{ program: Program; grid: AnchorGrid }> {
    const known = this.#programs.get(batch);
    if (known) return known;
    const { detector, weights, side, texts, threads } = this.#options;
    const { classes } = detector.config;
    if ((classes.kind === "text") !== (texts !== undefined)) {
      throw new ShapeError("PictureDetector: texts must be given if and only if the classes are texts");
    }
    const pixels = input("pixels", [batch, side, side, 3], "uint8");
    const textInput =
      classes.kind === "text" && texts
        ? input("texts", [texts.length / classes.embedding, classes.embedding])
        : undefined;
    const { grid, outputs } = detector.forward(pixels, textInput);
    const parameters = namedParameters(detector);
    const program = await compile({ outputs: { ...outputs }, parameters, weights, ...(threads ? { threads } : {}) });
    this.#programs.set(batch, { program, grid });
    return { program, grid };
  }
}
