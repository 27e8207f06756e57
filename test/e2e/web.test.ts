import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleWeb } from "../../scripts/bundle-web.ts";
import { type Box, boxIou } from "../../src/core/boxes.ts";
import { decodeImage } from "../../src/io/images.ts";
import { initialWeights } from "../../src/nn/module.ts";
import { zeroShotClassifier } from "../../src/tasks/classification/zero-shot-classifier.ts";
import type * as Web from "../../src/web/web.ts";
import { saveDetector } from "../../src/zoo/detector-files.ts";
import type { DetectorModel } from "../../src/zoo/detector-model.ts";
import { exportDetectorOnnx } from "../../src/zoo/export-detector.ts";
import { exportOnnx } from "../../src/zoo/export-model.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";
import { loadDetector } from "../../src/zoo/load-detector.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { tinyDetector } from "../support/tiny-detector.ts";
import { saveTinyClip } from "./tiny-clip.ts";

declare const florence: typeof Web; // in the page
declare const violations: readonly string[]; // likewise

const root = resolve(import.meta.dirname, "../..");
const samples = ["cat.jpg", "coffee.jpg", "panda.jpg", "rocket.jpg", "goldfish.jpg"];
const texts = ["a cat", "a cup of coffee on a wooden table", "Ünïcode, 漢字 & emoji 🐼", ""];
const labels = ["cat", "coffee", "panda", "rocket", "goldfish", "dog"];
const detectorTexts = [
  [1, 0, 0],
  [0, 0.6, 0.8],
];
// A page as strict as it may be: no eval, isolated, and its files may be shown elsewhere but not read there.
const policies = {
  "content-security-policy": "script-src 'self' 'wasm-unsafe-eval'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "cross-origin",
};
const types: Record<string, string> = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("web.test: skipped, Chromium is not installed");

describe.skipIf(!executablePath)("florence/web in Chromium", () => {
  let folder: string;
  let server: Server;
  let browser: Browser;
  let page: Page;
  let model: FlorenceModel;
  let clip: FlorenceModel;
  let detector: DetectorModel;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "florence-web-"));
    model = await loadModel("florence-nano");
    await exportOnnx({ source: join(root, "weights/florence-nano"), model, target: join(folder, "model") }, "both");
    await exportOnnx({ source: join(root, "weights/florence-nano"), model, target: join(folder, "images") }, "image");
    await saveTinyClip(join(folder, "clip-source"));
    clip = await loadModel(join(folder, "clip-source"));
    await exportOnnx({ source: join(folder, "clip-source"), model: clip, target: join(folder, "clip") }, "both");
    const { config } = tinyDetector(64, { kind: "text", embedding: 3 });
    await saveDetector(join(folder, "detector-source"), {
      name: "tiny",
      architecture: config,
      weights: initialWeights(tinyDetector(64, config.classes), 3),
      classes: { kind: "text", embedder: { name: "none", fingerprint: "0" }, templates: ["{}"] },
      preprocessing: { side: 64, padding: "square" },
    });
    detector = await loadDetector(join(folder, "detector-source"), { threads: 1 });
    const request = { source: join(folder, "detector-source"), detector, target: join(folder, "detector") };
    await exportDetectorOnnx(request, "float32");
    const sizes = await bundleWeb(join(import.meta.dirname, "web-page.ts"), folder);
    const zipped = gzipSync(readFileSync(join(folder, "app.js"))).length;
    console.log(`bundle: ${kilobytes(sizes.script)} (${kilobytes(zipped)} gzipped), wasm ${kilobytes(sizes.wasm)}`);
    await writeFile(join(folder, "index.html"), '<!doctype html><script type="module" src="app.js"></script>');
    await writeFile(join(folder, "see-through.png"), await seeThrough());
    await writeFile(
      join(folder, "turned.jpg"),
      await sharp(join(root, "samples/cat.jpg")).withExif({}).withMetadata({ orientation: 6 }).toBuffer(),
    );
    const wide = sharp(join(root, "samples/goldfish.jpg")).withIccProfile("p3");
    await writeFile(join(folder, "wide-gamut.jpg"), await wide.jpeg({ quality: 95 }).toBuffer());
    await writeFile(join(folder, "broken.jpg"), "no picture");
    for (const sample of samples) await writeFile(join(folder, sample), await readFile(join(root, "samples", sample)));
    server = createServer(async (request, response) => {
      const path = join(folder, new URL(request.url as string, "http://page").pathname);
      const body = await readFile(path).catch(() => undefined);
      const type = types[extname(path)] ?? "application/octet-stream";
      response.writeHead(body ? 200 : 404, { ...policies, "content-type": type });
      response.end(body);
    }).listen(0, "127.0.0.1");
    browser = await chromium.launch({ executablePath: executablePath as string, args: ["--no-sandbox"] });
    page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.addInitScript(() => {
      const violations: string[] = [];
      Object.assign(globalThis, { violations });
      document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/index.html`);
    await page.waitForFunction(() => "florence" in globalThis);
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    server?.close();
    await model?.dispose();
    await clip?.dispose();
    await detector?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it("embeds pictures and texts as Node does", async () => {
    const pictures = [...samples, "see-through.png", "turned.jpg", "wide-gamut.jpg"];
    const found = await page.evaluate(
      async ({ pictures, texts }) => {
        const start = performance.now();
        const loaded = await florence.loadModel("model");
        const [first] = await loaded.embedImages([pictures[0] as string]);
        const firstMs = performance.now() - start;
        const images = await loaded.embedImages(pictures);
        const sentences = await loaded.embedTexts(texts);
        const facts = { fingerprint: loaded.fingerprint, logitScale: loaded.logitScale, embedDim: loaded.embedDim };
        await loaded.dispose();
        const plain = (rows: Float32Array[]) => rows.map((row) => Array.from(row));
        return {
          ...facts,
          firstMs,
          first: Array.from(first as Float32Array),
          images: plain(images),
          texts: plain(sentences),
        };
      },
      { pictures, texts },
    );
    console.log(`first image embedding: ${Math.round(found.firstMs)} ms after loadModel`);
    expect(found).toMatchObject({ fingerprint: model.fingerprint, logitScale: model.logitScale, embedDim: 256 });
    const expectedImages = await model.embedImages(
      await Promise.all(pictures.map((name) => decodeImage(join(folder, name)))),
    );
    const cosines = found.images.map((row, i) => cosine(row, expectedImages[i] as Float32Array));
    const textCosines = (await model.embedTexts(texts)).map((row, i) => cosine(row, found.texts[i] as number[]));
    console.log(pictures.map((name, i) => `${name} ${cosines[i]?.toFixed(6)}`).join(", "));
    console.log(`lowest cosine with Node: images ${Math.min(...cosines)}, texts ${Math.min(...textCosines)}`);
    expect(cosine(found.first, found.images[0] as number[])).toBeGreaterThan(0.99999);
    for (const value of [...cosines, ...textCosines]) expect(value).toBeGreaterThanOrEqual(0.9999);
  });

  it("reads CLIP's tokenizer and squashes pictures where the model wants it", async () => {
    const words = ["cat", "a dog, a cat", "Ünïcode 🐼"];
    const found = await page.evaluate(async (words) => {
      const loaded = await florence.loadModel("clip/");
      const rows = [...(await loaded.embedTexts(words)), ...(await loaded.embedImages(["coffee.jpg"]))];
      await loaded.dispose();
      return rows.map((row) => Array.from(row));
    }, words);
    const expected = await clip.embedTexts(words);
    expected.push(...(await clip.embedImages([await decodeImage(join(folder, "coffee.jpg"))])));
    expect(found).toHaveLength(expected.length);
    for (const [i, row] of expected.entries()) expect(cosine(row, found[i] as number[])).toBeGreaterThan(0.9999);
  });

  it("classifies as Node does", async () => {
    const found = await page.evaluate(
      async ({ samples, labels }) => {
        const loaded = await florence.loadModel("model");
        const answers = await florence.classify(loaded, samples, labels);
        await loaded.dispose();
        return answers;
      },
      { samples, labels },
    );
    const classifier = await zeroShotClassifier(model, labels);
    const embeddings = await model.embedImages(
      await Promise.all(samples.map((name) => decodeImage(join(folder, name)))),
    );
    for (const [i, embedding] of embeddings.entries()) {
      const expected = classifier.classify(embedding);
      expect(found[i]?.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
      found[i]?.forEach(({ probability }, rank) => {
        expect(probability).toBeCloseTo(expected[rank].probability, 2);
      });
    }
  });

  it("detects as Node does", async () => {
    const found = await page.evaluate(
      async ({ samples, vectors }) => {
        const texts = vectors.map((row) => Float32Array.from(row));
        const detector = await florence.loadDetector("detector");
        const answers = await detector.detect(samples, { texts, scoreThreshold: 0.001, maxDetections: 5 });
        const bare = await detector.detect([samples[0] as string]).catch((error: Error) => error.message);
        const facts = { fingerprint: detector.fingerprint, kind: detector.classes.kind, bare };
        await detector.dispose();
        return { ...facts, answers };
      },
      { samples, vectors: detectorTexts },
    );
    expect(found).toMatchObject({ fingerprint: detector.fingerprint, kind: "text" });
    expect(found.bare).toContain("texts must be class embeddings of 3 numbers");
    const texts = Float32Array.from(detectorTexts.flat());
    const expected = await detector.detect(await Promise.all(samples.map((name) => decodeImage(join(folder, name)))), {
      texts,
      scoreThreshold: 0.0001,
      maxDetections: 50,
      nmsThreshold: 0.6,
    });
    for (const [i, answer] of found.answers.entries()) {
      const { boxes, classes, scores } = expected[i] as (typeof expected)[number];
      expect(answer).toHaveLength(5);
      for (const one of answer) {
        const ious = [...classes].map((id, j) => {
          const isAlike = id === one.class && Math.abs((scores[j] as number) - one.score) < 5e-3;
          return isAlike ? boxIou([...boxes.subarray(4 * j, 4 * j + 4)] as unknown as Box, one.box) : 0;
        });
        expect(Math.max(...ious), samples[i]).toBeGreaterThan(0.95);
      }
    }
  });

  it("stops when it is aborted, between downloads and between runs", async () => {
    const found = await page.evaluate(async (labels) => {
      const loaded = await florence.loadModel("model");
      const aborted = async (pictures: string[]) => {
        const controller = new AbortController();
        setTimeout(() => controller.abort("enough"), 1);
        return florence.classify(loaded, pictures, labels, { signal: controller.signal }).catch((reason) => reason);
      };
      const downloads = await aborted(["cat.jpg"]);
      await loaded.embedTexts(["a cat"]);
      const texts = await aborted(["cat.jpg"]);
      const [answers] = await florence.classify(loaded, ["cat.jpg"], labels);
      const pictures = await aborted(Array<string>(100).fill("cat.jpg"));
      await loaded.dispose();
      return { downloads, texts, pictures, answers: answers?.length };
    }, labels);
    expect(found).toEqual({ downloads: "enough", texts: "enough", pictures: "enough", answers: labels.length });
  });

  it("is of no use after dispose, which may be called again", async () => {
    const found = await page.evaluate(async () => {
      const loaded = await florence.loadModel("model");
      await loaded.embedImages(["cat.jpg"]);
      const downloads = () => performance.getEntriesByName(new URL("model/image.onnx", location.href).href).length;
      const before = downloads();
      const underWay = loaded.embedImages(Array<string>(20).fill("cat.jpg")).catch((error: Error) => error.message);
      await Promise.all([loaded.dispose(), loaded.dispose()]);
      await loaded.dispose();
      const after = await loaded.embedImages(["cat.jpg"]).catch((error: Error) => error.message);
      return { underWay: await underWay, after, downloads: downloads() - before };
    });
    const message = `${model.name}: must not be used after dispose()`;
    expect(found).toEqual({ underWay: message, after: message, downloads: 0 });
  });

  it("leaves an ImageBitmap open that it is given", async () => {
    const width = await page.evaluate(async () => {
      const bitmap = await createImageBitmap(await (await fetch("cat.jpg")).blob());
      const decoded = await florence.decodeImage(bitmap);
      return [bitmap.width, decoded.width];
    });
    expect(width[0]).toBeGreaterThan(0); // 0 once closed
    expect(width[1]).toBe(width[0]);
  });

  it("says what to do about an <img> of another origin", async () => {
    const error = await page.evaluate(async () => {
      const image = new Image();
      image.src = new URL("cat.jpg", location.href.replace("127.0.0.1", "localhost")).href;
      await image.decode();
      return florence.decodeImage(image).catch(({ code, message }) => ({ code, message }));
    });
    expect(error).toEqual({ code: "unreadable", message: expect.stringContaining('Set crossorigin="anonymous"') });
  });

  it.each([
    ["a folder that is not there", "nothing", "cat.jpg", "not-found", "preprocessing.json"],
    ["a picture that does not decode", "model", "broken.jpg", "corrupt", "must be a picture"],
    ["a picture that is not there", "model", "none.jpg", "not-found", "none.jpg"],
    ["a tower that was not exported", "images", "", "unsupported", "text tower"],
  ])("refuses %s", async (_, address, picture, code, says) => {
    const error = await page.evaluate(
      async ({ address, picture }) => {
        try {
          const loaded = await florence.loadModel(address);
          await (picture === "" ? loaded.embedTexts(["x"]) : loaded.embedImages([picture]));
          return undefined;
        } catch (caught) {
          return { code: (caught as { code?: string }).code, message: (caught as Error).message };
        }
      },
      { address, picture },
    );
    expect(error).toEqual({ code, message: expect.stringContaining(says) });
  });

  it("did nothing that the page's policies forbid", async () => {
    expect(await page.evaluate(() => ({ crossOriginIsolated, violations }))).toEqual({
      crossOriginIsolated: true,
      violations: [],
    });
  });
});

/** A half transparent gradient. */
function seeThrough(): Promise<Buffer> {
  const [width, height] = [64, 48];
  const data = Buffer.from(Array.from({ length: width * height * 4 }, (_, i) => (i * 37 + (i >> 8) * 11) % 256));
  return sharp(data, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`;
}
