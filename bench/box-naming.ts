/**
 * How well and how fast a two-tower model names boxes, from a crop of each and from its own map of the whole picture: the
 * share of a set's true boxes that get their own class's name, and milliseconds a picture, in turn on each picture; also
 * from the map that a detector on the model's encoder has made already, whose own run is not counted.
 *
 *   npm run bench:naming -- DATA [--model florence-nano] [--detector florence-nano-detector] [--sides 192,416] [--margin 0.1] [--pictures 100] [--threads 2]
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { Box } from "../src/core/boxes.ts";
import { letterboxImage } from "../src/data/box-transforms/letterboxed-image.ts";
import { openDetectionSet } from "../src/data/detection/open-detection-set.ts";
import { embedClasses } from "../src/tasks/classification/class-embeddings.ts";
import { defaultTemplates } from "../src/tasks/classification/templates.data.ts";
import { cropEmbeddings, regionEmbeddings } from "../src/tasks/detection/box-naming.ts";
import { loadDetector } from "../src/zoo/load-detector.ts";
import { loadModel } from "../src/zoo/load-model.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "florence-nano" },
    detector: { type: "string", default: "florence-nano-detector" },
    sides: { type: "string", default: "192,416" },
    margin: { type: "string", default: "0.1" },
    pictures: { type: "string", default: "100" },
    threads: { type: "string", default: String(availableParallelism()) },
  },
});
const [data] = positionals;
if (data === undefined) throw new Error("bench:naming: DATA must be a set of pictures with boxes, got none");
const margin = Number(values.margin);
await using model = await loadModel(values.model, { threads: Number(values.threads) });
const { embedRegions } = model;
if (!embedRegions)
  throw new Error(`bench:naming: ${model.name} must have a CoSwin image encoder. Choose another --model`);
await using detector = await loadDetector(values.detector, { threads: Number(values.threads) });
if (detector.encoderOf !== model.fingerprint) {
  throw new Error(`bench:naming: ${detector.name} must be on ${model.name}'s own encoder. Choose another --detector`);
}
const set = await openDetectionSet(data, {});
const vectors = await embedClasses(model, set.classes, defaultTemplates, {});

function nearest(embedding: Float32Array): number {
  let [best, highest] = [-1, Number.NEGATIVE_INFINITY];
  for (let k = 0; k < set.classes.length; k++) {
    let cosine = 0;
    for (let d = 0; d < model.embedDim; d++) cosine += embedding[d] * vectors[k * model.embedDim + d];
    if (cosine > highest) [best, highest] = [k, cosine];
  }
  return best;
}

const ways = values.sides.split(",").map((word) => {
  const side = Number(word);
  return { name: `regions, ${side} px`, side, embed: regionEmbeddings({ embedRegions }, margin), keepsLevel: false };
});
const crops = { name: "crops", side: 32, embed: cropEmbeddings(model, margin), keepsLevel: false };
const { side: ownSide } = detector.preprocessing;
const shared = {
  name: "regions, the detector's run",
  side: ownSide,
  embed: regionEmbeddings({ embedRegions }, margin),
};
const rows = [crops, { ...shared, keepsLevel: true }, ...ways].map((way) => ({
  ...way,
  right: 0,
  times: [] as number[],
}));
let all = 0;
const counts = new Map<number, number>();
for (const image of (set.splits.get("test") ?? [])
  .filter(({ boxes }) => boxes.length > 0)
  .slice(0, Number(values.pictures))) {
  const picture = await set.decode(image);
  const boxes = image.boxes.map(({ box }) => box as Box);
  all += boxes.length;
  for (const { class: own } of image.boxes) counts.set(own, (counts.get(own) ?? 0) + 1);
  for (const row of rows) {
    const canvas = letterboxImage(picture, { side: row.side, padding: "square", stride: 32 }, true);
    const [found] = row.keepsLevel ? await detector.detect([canvas], { keepsLevel: true }) : [];
    const started = performance.now();
    const embeddings = await row.embed(boxes, { image: canvas, level: found?.level });
    row.times.push(performance.now() - started);
    for (const [i, embedding] of embeddings.entries()) if (nearest(embedding) === image.boxes[i]?.class) row.right++;
  }
}
const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;
const majority = Math.max(...counts.values()) / all;
const pictures = rows[0]?.times.length;
console.log(
  `${set.name}, ${pictures} pictures, ${all} true boxes, ${set.classes.length} classes, the most frequent ${(100 * majority).toFixed(1)} %`,
);
console.log("\n| named from | right | median ms a picture | least ms |\n|---|---|---|---|");
for (const { name, right, times } of rows) {
  const share = `${((100 * right) / all).toFixed(1)} %`;
  console.log(`| ${name} | ${share} | ${median(times).toFixed(1)} | ${Math.min(...times).toFixed(1)} |`);
}
