/**
 * COCO average precision against pycocotools on the same detections, the two interleaved: all statistics and the AP of
 * each class must agree to 1e-6, then the times are compared. Both start from loaded annotations; reading is not timed.
 *
 *   npm run bench:coco-ap -- --python python3 [--truth annotations.json] [--images 1000] [--rounds 7]
 *
 * Without --truth, pictures as crowded as COCO's are drawn (80 classes, about 7 objects and 100 detections a picture).
 * Detections are shaken truths of falling certainty, confusions, duplicates and background. Ends with `ratio <number>`:
 * pycocotools' median time over ours, higher is better.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Rng } from "../src/core/rng.ts";
import { type CocoResult, cocoAveragePrecision } from "../src/metrics/detection/coco-average-precision.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    truth: { type: "string" },
    images: { type: "string", default: "1000" },
    rounds: { type: "string", default: "7" },
  },
});
const rounds = Number(values.rounds);
const rng = new Rng("coco-ap");

const annotationSchema = z.object({
  id: z.number(),
  image_id: z.number(),
  category_id: z.number(),
  bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  area: z.number(),
  iscrowd: z.number(),
});
const cocoSchema = z.object({
  images: z.array(z.object({ id: z.number(), width: z.number(), height: z.number() })),
  categories: z.array(z.object({ id: z.number(), name: z.string() })),
  annotations: z.array(annotationSchema),
});
type Coco = z.infer<typeof cocoSchema>;

interface Found {
  readonly image_id: number;
  readonly category_id: number;
  readonly bbox: readonly [number, number, number, number];
  readonly score: number;
}

function drawTruth(images: number): Coco {
  const categories = Array.from({ length: 80 }, (_, i) => ({ id: i + 1, name: `class ${i + 1}` }));
  const coco: Coco = { images: [], categories, annotations: [] };
  for (let id = 1; id <= images; id++) {
    coco.images.push({ id, width: 640, height: 480 });
    const kinds = Array.from({ length: 1 + rng.int(4) }, () => 1 + Math.floor(80 * rng.uniform() ** 2));
    for (let n = rng.int(15); n > 0; n--) {
      const side = 8 * Math.exp(rng.uniform(0, Math.log(40)));
      const [width, height] = [Math.min(640, side * rng.uniform(0.6, 1.6)), Math.min(480, side)];
      const bbox: [number, number, number, number] = [
        ...([rng.uniform(0, 640 - width), rng.uniform(0, 480 - height)] as const),
        ...([width, height] as const),
      ];
      coco.annotations.push({
        id: coco.annotations.length + 1,
        image_id: id,
        category_id: rng.pick(kinds),
        bbox,
        area: width * height * rng.uniform(0.5, 1),
        iscrowd: Number(rng.uniform() < 0.01),
      });
    }
  }
  return coco;
}

function byImage<Row extends { readonly image_id: number }>(rows: readonly Row[]): Map<number, Row[]> {
  const grouped = new Map<number, Row[]>();
  for (const row of rows) {
    const own = grouped.get(row.image_id);
    if (own) own.push(row);
    else grouped.set(row.image_id, [row]);
  }
  return grouped;
}

/** About `most` detections a picture, as a detector of middling strength would give them. */
function drawDetections({ images, categories, annotations }: Coco, most: number): Found[] {
  const truths = byImage(annotations);
  return images.flatMap(({ id, width, height }) => {
    const own = truths.get(id) ?? [];
    return Array.from({ length: most }, (): Found => {
      const truth = own.length > 0 && rng.uniform() < 0.4 ? rng.pick(own) : undefined;
      if (!truth) {
        const [w, h] = [rng.uniform(5, width / 2), rng.uniform(5, height / 2)];
        const bbox = [rng.uniform(0, width - w), rng.uniform(0, height - h), w, h] as const;
        return { image_id: id, category_id: rng.pick(categories).id, bbox, score: rng.uniform() ** 4 };
      }
      const shake = Math.abs(rng.normal(0, 0.15));
      const [x, y, w, h] = truth.bbox;
      const moved = [rng.normal(x, shake * w), rng.normal(y, shake * h)] as const;
      const sized = [w * Math.exp(rng.normal(0, shake)), h * Math.exp(rng.normal(0, shake))] as const;
      const category = rng.uniform() < 0.8 ? truth.category_id : rng.pick(categories).id;
      const score = Math.round(1e3 * Math.exp(-3 * shake - Math.abs(rng.normal(0, 0.3)))) / 1e3;
      return { image_id: id, category_id: category, bbox: [...moved, ...sized], score };
    });
  });
}

/** COCO's lists as pictures: what our metric starts from. */
function toPictures({ images, categories, annotations }: Coco, found: readonly Found[]) {
  const classOf = new Map(categories.toSorted((a, b) => a.id - b.id).map(({ id }, place) => [id, place]));
  const truths = byImage(annotations);
  const detections = byImage(found);
  const flat = (list: readonly { readonly bbox: readonly [number, number, number, number] }[]) =>
    Float64Array.from(list.flatMap(({ bbox: [x, y, w, h] }) => [x, y, x + w, y + h]));
  const classes = (list: readonly { readonly category_id: number }[]) =>
    Int32Array.from(list, ({ category_id }) => classOf.get(category_id) ?? -1);
  const ordered = images.toSorted((a, b) => a.id - b.id).map(({ id }) => id);
  return {
    truth: ordered.map((id) => {
      const own = truths.get(id) ?? [];
      const areas = Float64Array.from(own, ({ area }) => area);
      return { boxes: flat(own), classes: classes(own), areas, crowd: Uint8Array.from(own, ({ iscrowd }) => iscrowd) };
    }),
    detected: ordered.map((id) => {
      const own = detections.get(id) ?? [];
      return { boxes: flat(own), classes: classes(own), scores: Float64Array.from(own, ({ score }) => score) };
    }),
  };
}

const readySchema = z.object({ ready: z.string(), stats: z.array(z.number()), perClass: z.array(z.number()) });
const timeSchema = z.object({ milliseconds: z.number() });

/** The Python process: a line in, a line of JSON out. */
class Pycocotools {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string, truthPath: string, foundPath: string) {
    const script = new URL("../scripts/fixtures/coco_ap_timing.py", import.meta.url).pathname;
    this.#child = spawn(python, [script, truthPath, foundPath]);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async read(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("bench:coco-ap: Python ended early. Check that --python has pycocotools");
    return JSON.parse(value as string);
  }

  async time(): Promise<number> {
    this.#child.stdin.write("again\n");
    return timeSchema.parse(await this.read()).milliseconds;
  }

  end(): void {
    this.#child.stdin.end();
  }
}

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];

/** The largest difference from pycocotools, whose −1 is our NaN. */
function largestDifference(ours: CocoResult, { stats, perClass }: z.infer<typeof readySchema>): number {
  const { ap, ap50, ap75, apSmall, apMedium, apLarge, ar1, ar10, ar100, arSmall, arMedium, arLarge } = ours;
  const own = [ap, ap50, ap75, apSmall, apMedium, apLarge, ar1, ar10, ar100, arSmall, arMedium, arLarge];
  const all = [...own, ...ours.perClass.map((scores) => scores.ap)].map((value) => (Number.isNaN(value) ? -1 : value));
  return Math.max(...[...stats, ...perClass].map((value, i) => Math.abs(value - all[i])));
}

const truth = values.truth
  ? cocoSchema.parse(JSON.parse(readFileSync(values.truth, "utf8")))
  : drawTruth(Number(values.images));
const found = drawDetections(truth, 100);
const folder = mkdtempSync(join(tmpdir(), "coco-ap-"));
try {
  const paths = [join(folder, "truth.json"), join(folder, "found.json")] as const;
  writeFileSync(paths[0], JSON.stringify(truth));
  writeFileSync(paths[1], JSON.stringify(found));
  const python = new Pycocotools(values.python, ...paths);
  const reference = readySchema.parse(await python.read());
  const pictures = toPictures(truth, found);
  const evaluate = () => cocoAveragePrecision(pictures.truth, pictures.detected, { classes: truth.categories.length });
  const result = evaluate();
  const difference = largestDifference(result, reference);
  console.log(`pycocotools ${reference.ready}, Node ${process.version}`);
  console.log(`${truth.images.length} pictures, ${truth.annotations.length} truths, ${found.length} detections`);
  console.log(
    `AP ${result.ap.toFixed(4)}, AP50 ${result.ap50.toFixed(4)}; largest difference ${difference.toExponential(1)}`,
  );
  if (!(difference <= 1e-6)) throw new Error(`bench:coco-ap: must agree to 1e-6, got ${difference}`);
  const times: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
  for (let round = 0; round < rounds; round++) {
    times.theirs.push(await python.time());
    const started = performance.now();
    evaluate();
    times.ours.push(performance.now() - started);
  }
  python.end();
  console.log(`pycocotools ${median(times.theirs).toFixed(0)} ms, ours ${median(times.ours).toFixed(0)} ms (medians)`);
  console.log(`ratio ${(median(times.theirs) / median(times.ours)).toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
