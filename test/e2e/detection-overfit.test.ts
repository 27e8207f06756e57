import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { input } from "../../src/graph/tensor.ts";
import type { AnchorGrid } from "../../src/models/detection/anchors.ts";
import { decodeDetections, type FoundBoxes } from "../../src/models/detection/decode-detections.ts";
import { namedParameters } from "../../src/nn/module.ts";
import { compile, type Program } from "../../src/runtime/program.ts";
import type { ObjectAnnotations } from "../../src/tasks/detection/assignment.ts";
import { colouredPicture, overfitColours, overfitDetector, overfitSize } from "../support/overfit-detector.ts";
import { tinyDetector } from "../support/tiny-detector.ts";

const size = overfitSize;
const colours = overfitColours;
const batch = 4;
const embedding = 8;

/** One class embedding a row, of length 1. */
function classTexts(): Float32Array {
  const rng = new Rng("texts");
  const rows = colours.map(() => Array.from({ length: embedding }, () => rng.normal()));
  return Float32Array.from(rows.flatMap((row) => row.map((value) => value / Math.hypot(...row))));
}

function iou(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box: ArrayLike<number>): number => (box[2] - box[0]) * (box[3] - box[1]);
  return (width * height) / (area(a) + area(b) - width * height);
}

/** Average precision at IoU 0.5 of one class: the area under precision against recall, precision made to fall. */
function ap50(found: readonly FoundBoxes[], truth: readonly ObjectAnnotations[], id: number): number {
  const total = truth.reduce((count, { classes }) => count + classes.filter((own) => own === id).length, 0);
  const taken = new Set<string>();
  const hits = found
    .flatMap(({ boxes, classes, scores }, image) =>
      [...scores].flatMap((score, i) =>
        classes[i] === id ? [{ score, image, box: boxes.subarray(4 * i, 4 * i + 4) }] : [],
      ),
    )
    .sort((a, b) => b.score - a.score)
    .map(({ image, box }) => {
      const { boxesXyxy, classes } = truth[image] as ObjectAnnotations;
      const match = [...classes].findIndex((own, g) => {
        const fits = own === id && iou(box, boxesXyxy.subarray(4 * g, 4 * g + 4)) >= 0.5;
        return fits && !taken.has(`${image} ${g}`);
      });
      if (match >= 0) taken.add(`${image} ${match}`);
      return match >= 0;
    });
  const points = hits.map((_, i) => {
    const right = hits.slice(0, i + 1).filter(Boolean).length;
    return { recall: right / total, precision: right / (i + 1) };
  });
  return points.reduce((area, { recall }, i) => {
    const best = Math.max(...points.slice(i).map(({ precision }) => precision));
    return area + best * (recall - (points[i - 1]?.recall ?? 0));
  }, 0);
}

describe("a small open-vocabulary detector on four pictures", () => {
  const detector = tinyDetector(size, { kind: "text", embedding });
  const rng = new Rng(5);
  const pictures = Array.from({ length: batch }, () => colouredPicture(rng));
  const pixels = Uint8Array.from(pictures.flatMap((given) => [...given.pixels]));
  const objects = pictures.map((given) => given.objects);
  const texts = classTexts();
  const parameters = namedParameters(detector);
  let losses: number[] = [];
  let inference: Program;
  let grid: AnchorGrid;

  const detect = async (given: Float32Array): Promise<FoundBoxes[]> => {
    const raw = (await inference.run({ pixels, texts: given })) as Record<
      "logits" | "deltas" | "centerness",
      Float32Array
    >;
    return decodeDetections(raw, grid, given.length / embedding, { width: size, height: size });
  };

  beforeAll(async () => {
    const learnt = await overfitDetector(detector, pictures, texts);
    losses = learnt.losses;
    const forward = detector.forward(
      input("pixels", [batch, size, size, 3], "uint8"),
      input("texts", [colours.length, embedding]),
    );
    grid = forward.grid;
    const { logits, deltas, centerness } = forward.outputs;
    const { weights } = learnt;
    inference = await compile({ outputs: { logits, deltas, centerness }, parameters, weights, threads: 1 });
  }, 120_000);

  afterAll(() => inference?.dispose());

  it("learns them by heart", async () => {
    expect(losses.every(Number.isFinite)).toBe(true);
    const found = await detect(texts);
    const scores = colours.map((_, id) => ap50(found, objects, id));
    expect(Math.min(...scores)).toBeGreaterThan(0.9);
  });

  it("takes its labels anew at every run", async () => {
    const reversed = Float32Array.from(
      [2, 1, 0].flatMap((id) => [...texts.subarray(id * embedding, (id + 1) * embedding)]),
    );
    const [before, after] = [await detect(texts), await detect(reversed)];
    for (const [i, { boxes, classes }] of after.entries()) {
      expect([...classes].map((id) => 2 - id)).toEqual([...(before[i] as FoundBoxes).classes]);
      expect(boxes).toEqual((before[i] as FoundBoxes).boxes);
    }
    expect(before.some(({ classes }) => classes.length > 0)).toBe(true);
  });
});
