/**
 * CLIP ViT-B/32 of random weights against transformers.js on an ONNX export of the same weights, with the same number
 * of threads, the two in turn:
 *
 *   python scripts/fixtures/clip_inference_peer.py DIR
 *   npm run bench:infer -- --model DIR [--rounds 5] [--images 200] [--threads 2] [--batch 8] [--streams 1] [--only model,products,int8,files,texts]
 *
 * `--peer FOLDER` names a folder in which `npm install @huggingface/transformers@4` was run; without it one is made in the
 * system's temporary folder. `--streams 1` is our model with one session for all calls. Each part ends with `ratio <number> <what>`: theirs over ours in time, higher is better
 * (of int8: our float32 over our int8). `products` times the tower's matrix products alone, in ONNX Runtime.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import type { FoundFile } from "../src/io/file-walk.ts";
import { embedImageFiles } from "../src/search/embed-images.ts";
import { fillTemplate } from "../src/tasks/classification/prompts.ts";
import { defaultTemplates } from "../src/tasks/classification/templates.data.ts";
import type { LoadOptions, ThreadedModel } from "../src/zoo/florence-model.ts";
import { loadModel } from "../src/zoo/load-model.ts";
import { writePictures } from "./picture-folder.ts";
import { towerProducts } from "./tower-products.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    peer: { type: "string", default: join(tmpdir(), "florence-bench-transformers.js") },
    rounds: { type: "string", default: "5" },
    images: { type: "string", default: "200" },
    classes: { type: "string", default: "1000" },
    threads: { type: "string", default: "2" },
    batch: { type: "string", default: "8" },
    streams: { type: "string" },
    only: { type: "string", default: "model,int8,files,texts" },
  },
});
if (!values.model) throw new Error("bench:infer: --model must name the folder that clip_inference_peer.py wrote");
const folder = values.model;
const [rounds, threads, batch] = [Number(values.rounds), Number(values.threads), Number(values.batch)];
const load = (options: LoadOptions = {}) =>
  loadModel(folder, { threads, ...(values.streams && { streams: Number(values.streams) }), ...options });
const parts = new Set(values.only.split(","));

/** What is used of transformers.js. */
interface PeerTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}
interface PeerLibrary {
  readonly env: { allowRemoteModels: boolean; localModelPath: string };
  readonly RawImage: { read(path: string): Promise<unknown> };
  readonly AutoProcessor: {
    from_pretrained(name: string): Promise<(images: unknown[]) => Promise<Record<string, PeerTensor>>>;
  };
  readonly AutoTokenizer: {
    from_pretrained(name: string): Promise<(texts: string[], options: object) => Record<string, PeerTensor>>;
  };
  readonly CLIPVisionModelWithProjection: PeerModelClass;
  readonly CLIPTextModelWithProjection: PeerModelClass;
}
interface PeerModelClass {
  from_pretrained(name: string, options: object): Promise<(inputs: object) => Promise<Record<string, PeerTensor>>>;
}

const peer = await loadPeer();
const peerOptions = { dtype: "fp32", device: "cpu", session_options: { intraOpNumThreads: threads } };
const scratch = await mkdtemp(join(tmpdir(), "florence-bench-infer-"));
try {
  const paths = await writePictures(scratch, Math.max(batch, Number(values.images)));
  if (["model", "products", "int8"].some((part) => parts.has(part))) await modelAlone(paths.slice(0, batch));
  if (parts.has("int8")) await nanoCosine(paths);
  if (parts.has("files")) await fromFiles(paths);
  if (parts.has("texts")) await fromTexts();
} finally {
  await rm(scratch, { recursive: true, force: true });
}
process.exit(0);

async function loadPeer(): Promise<PeerLibrary> {
  const library = join(values.peer, "node_modules", "@huggingface", "transformers", "dist", "transformers.node.mjs");
  if (!existsSync(library)) {
    mkdirSync(values.peer, { recursive: true });
    writeFileSync(join(values.peer, "package.json"), '{ "private": true, "type": "module" }\n');
    // Without scripts: onnxruntime-node's would fetch libraries for GPUs.
    const words = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "@huggingface/transformers@4"];
    execFileSync("npm", words, { cwd: values.peer, stdio: ["ignore", "ignore", "inherit"] });
  }
  const loaded = (await import(pathToFileURL(library).href)) as PeerLibrary;
  loaded.env.allowRemoteModels = false;
  loaded.env.localModelPath = folder;
  return loaded;
}

/**
 * One batch of pictures that are in memory and resized already, as a caller hands it to a loaded model: through its
 * threads, and shared out between its streams if there are enough of them. Theirs is called with its own inputs, in as many threads.
 */
async function modelAlone(paths: readonly string[]): Promise<void> {
  await using loaded = await load();
  await using bytes = parts.has("int8") ? await load({ precision: "int8" }) : undefined;
  const prepared = await Promise.all(paths.map((path) => loaded.readImage(path)));
  const lastOf = async (model: ThreadedModel) => (await model.embedPrepared(prepared)).at(-1) as Float32Array;
  const contenders: Record<string, () => Promise<Float32Array>> = { ours: () => lastOf(loaded) };
  if (bytes) contenders.int8 = () => lastOf(bytes);
  if (parts.has("model")) {
    const model = await peer.CLIPVisionModelWithProjection.from_pretrained("peer", peerOptions);
    const processor = await peer.AutoProcessor.from_pretrained("peer");
    const inputs = await processor(await Promise.all(paths.map((path) => peer.RawImage.read(path))));
    contenders.theirs = async () => (await model(inputs)).image_embeds.data;
  }
  const products = parts.has("products") ? await towerProducts(paths.length, threads) : undefined;
  if (products) contenders.products = () => products.run();
  const times = await interleave(contenders);
  await products?.release();
  const what = `ViT-B/32 image tower alone, float32, batch ${paths.length}, ${threads} threads`;
  if (times.theirs) report(what, times.ours, times.theirs, "float32 model alone (target 1.1)");
  if (times.products && times.theirs) {
    report("its matrix products alone", times.products, times.theirs, "most that a float32 tower could be ahead");
    report("the same beside all of our tower", times.products, times.ours, "of our tower's time over its products'");
    const rate = ((products?.operations ?? 0) / median(times.products) / 1e6 / threads).toFixed(0);
    console.log(`products: ${rate} GFLOP/s a thread`);
  }
  if (times.int8) report("int8 against our float32, the same batch", times.int8, times.ours, "int8 (target 2.2)");
}

/** How close int8 is to float32 on pictures, with a model that has learnt something. */
async function nanoCosine(paths: readonly string[]): Promise<void> {
  await using exact = await loadModel("florence-nano");
  await using rough = await loadModel("florence-nano", { precision: "int8" });
  const images = await Promise.all(paths.map((path) => exact.readImage(path)));
  const [expected, found] = [await exact.embedPrepared(images), await rough.embedPrepared(images)];
  const cosines = expected.map((embedding, i) => embedding.reduce((sum, value, k) => sum + value * found[i][k], 0));
  const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
  console.log(
    `int8: florence-nano on ${images.length} pictures: mean cosine ${mean.toFixed(5)} (target 0.99), lowest ${Math.min(...cosines).toFixed(5)}`,
  );
}

/** From files on disk to embeddings; transformers.js in batches of the same size, the files of a batch read together. */
async function fromFiles(paths: readonly string[]): Promise<void> {
  await using model = await load();
  const vision = await peer.CLIPVisionModelWithProjection.from_pretrained("peer", peerOptions);
  const processor = await peer.AutoProcessor.from_pretrained("peer");
  const theirBatch = async (group: readonly string[]): Promise<Float32Array> => {
    const inputs = await processor(await Promise.all(group.map((path) => peer.RawImage.read(path))));
    return (await vision(inputs)).image_embeds.data;
  };
  const inBatches = (size: number) => async () => {
    let last: Float32Array = new Float32Array();
    for (let from = 0; from < paths.length; from += size) last = await theirBatch(paths.slice(from, from + size));
    return last;
  };
  const ours = async () => {
    let last: Float32Array = new Float32Array();
    for await (const result of embedImageFiles(found(paths), model)) {
      if ("error" in result) throw new Error(result.error.message);
      last = result.embedding;
    }
    return last;
  };
  const times = await interleave({ ours, theirs: inBatches(batch), alone: inBatches(1) });
  const what = `${paths.length} JPEG files of 640×480 to embeddings`;
  report(`${what}, transformers.js in batches of ${batch}`, times.ours, times.theirs, "files (target 1.5)");
  report(`${what}, transformers.js one at a time`, times.ours, times.alone, "files, theirs one at a time");
}

async function* found(paths: readonly string[]): AsyncGenerator<FoundFile> {
  for (const path of paths) yield { path, size: 0, mtimeMs: 0 };
}

/**
 * Class names in seven templates. transformers.js as its zero-shot pipeline does it: all labels in one template are one
 * call of tokenizer (padded to the longest) and text model; a template after the other.
 */
async function fromTexts(): Promise<void> {
  await using model = await load();
  const text = await peer.CLIPTextModelWithProjection.from_pretrained("peer", peerOptions);
  const tokenizer = await peer.AutoTokenizer.from_pretrained("peer");
  const labels = await classNames(Number(values.classes));
  const theirCall = async (texts: string[]) =>
    (await text(tokenizer(texts, { padding: true, truncation: true }))).text_embeds.data;
  const byTemplate = defaultTemplates.map((template) => labels.map((label) => fillTemplate(template, label)));
  const theirs = async () => {
    let last: Float32Array = new Float32Array();
    for (const texts of byTemplate) last = await theirCall(texts);
    return last;
  };
  const batches = async () => {
    let last: Float32Array = new Float32Array();
    const all = byTemplate.flat();
    for (let from = 0; from < all.length; from += 64) last = await theirCall(all.slice(from, from + 64));
    return last;
  };
  const ours = async () => (await model.embedTexts(byTemplate.flat())).at(-1) as Float32Array;
  const times = await interleave({ ours, theirs, batches });
  const what = `${labels.length} class names in ${byTemplate.length} templates`;
  report(`${what}, a call a template (zero-shot pipeline)`, times.ours, times.theirs, "texts (target 3)");
  report(`${what}, CLIPTextModelWithProjection in batches of 64`, times.ours, times.batches, "texts, batches of 64");
}

/** Names of one to four words, as long as class names are: 45 % of one word, 38 % of two, 13 % of three, 4 % of four. */
async function classNames(count: number): Promise<string[]> {
  const vocabulary = fileURLToPath(new URL("../weights/florence-nano/vocab.txt", import.meta.url));
  const words = (await readFile(vocabulary, "utf8")).split("\n").filter((word) => /^[a-z]{4,10}$/.test(word));
  return Array.from({ length: count }, (_, i) => {
    const place = (i * 37) % 100;
    const length = place < 45 ? 1 : place < 83 ? 2 : place < 96 ? 3 : 4;
    return Array.from({ length }, (_, k) => words[(i * 7919 + k * 104_729) % words.length]).join(" ");
  });
}

/** Milliseconds of each contender, round by round in turn, after two runs each that do not count: runs are sized by the first. */
async function interleave<Name extends string>(
  contenders: Readonly<Record<Name, () => Promise<Float32Array>>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contenders) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (const name of [...names, ...names]) await contenders[name]();
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      await rest();
      const started = performance.now();
      await contenders[name]();
      times[name].push(performance.now() - started);
    }
    const line = names.map((name) => `${name} ${(times[name].at(-1) as number).toFixed(0)} ms`);
    console.log(`round ${round}: ${line.join(", ")}`);
  }
  return times;
}

/** The runtime's threads spin for a while after a run, and would slow whoever comes next. */
async function rest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
}

function report(what: string, ours: readonly number[], theirs: readonly number[], label: string): void {
  console.log(`${what}: ${median(ours).toFixed(0)} ms against ${median(theirs).toFixed(0)} ms, median of ${rounds}`);
  console.log(`ratio ${median(ours.map((time, i) => theirs[i] / time)).toFixed(2)} ${label}`);
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;
}
