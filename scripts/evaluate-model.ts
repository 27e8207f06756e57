/**
 * Scores a model on the held-out sets that `florence data prepare` made, one JSON line a result.
 *
 *   npx tsx scripts/evaluate-model.ts weights/florence-nano ~/.cache/florence/shards > scores.jsonl
 *
 * With --set, only the zero-shot scores of that set by bare names, which may be one the model was trained on, to see how
 * it fits; with --blur too, through a Gaussian of so many pixels ahead of the model; with --limit, of its first rows:
 *
 *   npx tsx scripts/evaluate-model.ts florence-nano SHARDS --set tiny-imagenet-32-val --blur 0.7
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { type RgbImage, rgbImage } from "../src/core/image.ts";
import { ShardReader } from "../src/data/shards.ts";
import { topKAccuracy } from "../src/metrics/accuracy.ts";
import { chanceAtK, chanceAtKOfSeveral, type Interval, wilsonInterval } from "../src/metrics/intervals.ts";
import { recallAtK, retrievalRanks } from "../src/metrics/recall-at-k.ts";
import { embedClasses } from "../src/tasks/classification/class-embeddings.ts";
import { defaultTemplates } from "../src/tasks/classification/templates.data.ts";
import type { FlorenceModel } from "../src/zoo/florence-model.ts";
import { loadModel } from "../src/zoo/load-model.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { set: { type: "string" }, blur: { type: "string" }, limit: { type: "string" } },
});
const [modelName = "florence-nano", shards = "shards"] = positionals;
const blur = values.blur === undefined ? undefined : Number(values.blur);
const limit = values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit);
const model = await loadModel(modelName);

interface Score {
  task: string;
  set: string;
  metric: string;
  n: number;
  score: number;
  interval: Interval; // 95 %
  chance: number;
}

function report(result: Omit<Score, "interval">): void {
  const interval = wilsonInterval(Math.round(result.score * result.n), result.n);
  console.log(JSON.stringify({ ...result, interval, model: model.fingerprint.slice(0, 16) }));
}

function rowsOf(reader: ShardReader): number {
  return Math.min(reader.count, limit);
}

async function blurred({ width, height, data }: RgbImage, sigma: number): Promise<RgbImage> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } }).blur({ sigma, precision: "float" });
  return rgbImage(width, height, new Uint8Array(await picture.raw().toBuffer()));
}

async function embedSet(reader: ShardReader, embedder: FlorenceModel): Promise<Float32Array> {
  const count = rowsOf(reader);
  const all = new Float32Array(count * embedder.embedDim);
  for (let from = 0; from < count; from += 256) {
    const images = await Promise.all(
      Array.from({ length: Math.min(256, count - from) }, async (_, i) => {
        const image = rgbImage(reader.width, reader.height);
        reader.readImage(from + i, image.data);
        return blur === undefined ? image : blurred(image, blur);
      }),
    );
    for (const [i, row] of (await embedder.embedImages(images)).entries()) all.set(row, (from + i) * embedder.embedDim);
  }
  return all;
}

/** The scores of every image for every class, row-major. */
function products(images: Float32Array, classes: Float32Array, width: number): Float32Array {
  const [rows, columns] = [images.length / width, classes.length / width];
  const scores = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let dot = 0;
      for (let k = 0; k < width; k++) dot += images[i * width + k] * classes[j * width + k];
      scores[i * columns + j] = dot;
    }
  }
  return scores;
}

async function zeroShot(set: string, templates: readonly string[], ks: readonly number[]): Promise<void> {
  const reader = ShardReader.open(join(shards, set));
  const names = [...new Set(reader.rows.map((row) => row.texts[0] as string))].sort();
  const classes = await embedClasses(model, names, templates);
  const labels = Int32Array.from(reader.rows.slice(0, rowsOf(reader)), (row) => names.indexOf(row.texts[0] as string));
  const scores = products(await embedSet(reader, model), classes, model.embedDim);
  for (const k of ks) {
    const score = topKAccuracy(scores, labels, names.length, k);
    const metric = `top-${k}${templates.length > 1 ? `, ${templates.length} templates` : ", bare names"}`;
    report({ task: "zero-shot", set, metric, n: labels.length, score, chance: chanceAtK(k, names.length) });
  }
}

async function retrieval(set: string): Promise<void> {
  const reader = ShardReader.open(join(shards, set));
  const captions = reader.rows.flatMap((row, image) => row.texts.map((text) => ({ text, image })));
  const texts = new Float32Array(captions.length * model.embedDim);
  for (const [i, row] of (await model.embedTexts(captions.map(({ text }) => text))).entries()) {
    texts.set(row, i * model.embedDim);
  }
  const owners = Int32Array.from(captions, ({ image }) => image);
  const { textToImage, imageToText } = retrievalRanks(await embedSet(reader, model), texts, model.embedDim, owners);
  for (const k of [1, 5, 10]) {
    const common = { task: "retrieval", set, chance: chanceAtK(k, reader.count) };
    report({ ...common, metric: `text→image R@${k}`, n: captions.length, score: recallAtK(textToImage, k) });
  }
  for (const k of [1, 5, 10]) {
    const chance = chanceAtKOfSeveral(k, captions.length, captions.length / reader.count);
    report({
      task: "retrieval",
      set,
      metric: `image→text R@${k}`,
      n: reader.count,
      score: recallAtK(imageToText, k),
      chance,
    });
  }
}

if (values.set !== undefined) {
  await zeroShot(values.set, ["{}"], [1, 5]);
  await model.dispose();
  process.exit();
}
for (const set of ["tiny-imagenet-32-val", "cifar10-test", "emoji-twitter", "tuxpaint"]) {
  await zeroShot(set, ["{}"], [1, 5]);
  if (set !== "tuxpaint") await zeroShot(set, defaultTemplates, [1, 5]);
}
await retrieval("flickr8k-test");
await model.dispose();
