import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomic } from "../src/io/atomic-files.ts";
import { decodeImage } from "../src/io/images.ts";
import { goldenFileName, makeGoldenVectors } from "../src/zoo/golden-vectors.ts";
import { loadModel } from "../src/zoo/load-model.ts";

/** Writes a checkpoint folder's golden.json: tsx scripts/write-golden.ts weights/florence-nano samples/*.jpg */

const sentences = ["a cat", "a photo of a dog", "a red bicycle leaning against a wall", "sunset over the sea"];

const { positionals } = parseArgs({ allowPositionals: true });
const [folder, ...pictures] = positionals;
if (folder === undefined || pictures.length === 0)
  throw new Error("usage: tsx scripts/write-golden.ts FOLDER PICTURE…");
const model = await loadModel(folder);
const paths = pictures.map((picture) => relative(folder, picture).replaceAll("\\", "/"));
const golden = await makeGoldenVectors(model, paths, sentences, (path) => decodeImage(resolve(folder, path)));
await writeFileAtomic(resolve(folder, goldenFileName), `${JSON.stringify(golden)}\n`);
await model.dispose();
console.log(`${goldenFileName}: ${golden.images.length} pictures, ${golden.texts.length} sentences`);
