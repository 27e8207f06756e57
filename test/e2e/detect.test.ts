import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Box, boxIou } from "../../src/core/boxes.ts";
import { Rng } from "../../src/core/rng.ts";
import { cropAround } from "../../src/tasks/detection/box-crops.ts";
import { saveDetector } from "../../src/zoo/detector-files.ts";
import type { FlorenceModel } from "../../src/zoo/florence-model.ts";
import {
  type ColouredPicture,
  colouredPicture,
  overfitColours,
  overfitDetector,
  overfitSize as size,
} from "../support/overfit-detector.ts";
import { tinyDetector } from "../support/tiny-detector.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

interface Line {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly detections: readonly { readonly box: Box; readonly label: string; readonly score: number }[];
}

const names = ["red", "green", "blue"];
const toy = toyModel();
let folder: string;
let pictures: ColouredPicture[];

/** Each picture twice as large as the detector learnt it. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-detect-"));
  const rng = new Rng(5);
  pictures = Array.from({ length: 4 }, () => colouredPicture(rng));
  await mkdir(join(folder, "photos"));
  for (const [i, { pixels }] of pictures.entries()) {
    const picture = sharp(pixels, { raw: { width: size, height: size, channels: 3 } });
    await picture.resize(2 * size, 2 * size, { kernel: "nearest" }).toFile(join(folder, "photos", `${i}.png`));
  }
  const preprocessing = { side: size, padding: "square" } as const;
  // One class for all: the pictures' objects without their colours.
  const blind = pictures.map(({ pixels, objects }) => {
    return { pixels, objects: { ...objects, classes: new Int32Array(objects.classes.length) } };
  });
  const proposing = tinyDetector(size, { kind: "fixed", count: 1 });
  await saveDetector(join(folder, "objects"), {
    ...{ name: "objects", architecture: proposing.config, preprocessing },
    weights: (await overfitDetector(proposing, blind)).weights,
    classes: { kind: "fixed", names: ["object"] },
  });
  const texts = Float32Array.from((await toy.embedTexts(names)).flatMap((row) => [...row]));
  const open = tinyDetector(size, { kind: "text", embedding: toy.embedDim });
  const saved = {
    ...{ name: "open", architecture: open.config, preprocessing },
    weights: (await overfitDetector(open, pictures, texts)).weights,
  };
  const embedder = { name: "toy", fingerprint: toy.fingerprint };
  await saveDetector(join(folder, "open"), { ...saved, classes: { kind: "text", embedder, templates: ["{}"] } });
  const other = { ...embedder, fingerprint: "0".repeat(64) };
  await saveDetector(join(folder, "stranger"), {
    ...saved,
    classes: { kind: "text", embedder: other, templates: ["{}"] },
  });
  const fixed = tinyDetector(size, { kind: "fixed", count: 3 });
  await saveDetector(join(folder, "colours"), {
    ...{ name: "colours", architecture: fixed.config, preprocessing },
    weights: (await overfitDetector(fixed, pictures)).weights,
    classes: { kind: "fixed", names },
  });
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(detector: string, ...words: string[]) {
  return runWith(toy, detector, ...words);
}

function runWith(model: FlorenceModel, detector: string, ...words: string[]) {
  return runFlorence(["detect", join(folder, "photos"), "--detector", join(folder, detector), ...words], {
    loadModel: async () => model,
    cacheFolder: join(folder, "cache"),
  });
}

function split(stdout: string): { settings: Record<string, unknown>; lines: Line[] } {
  const [first, ...lines] = jsonLines(stdout);
  return { settings: first?.settings as Record<string, unknown>, lines: lines as unknown as Line[] };
}

/** The share of the pictures' objects on which a box of their colour lies. */
function recall(lines: readonly Line[], wanted: readonly string[] = names): number {
  let [found, all] = [0, 0];
  for (const [p, { objects }] of pictures.entries()) {
    for (const [i, id] of objects.classes.entries()) {
      const [x0, y0, x1, y1] = [...objects.boxesXyxy.subarray(4 * i, 4 * i + 4)].map((edge) => 2 * edge);
      const label = names[id] as string;
      if (!wanted.includes(label)) continue;
      all++;
      const { detections } = lines.find(({ path }) => path.endsWith(`${p}.png`)) as Line;
      const hit = detections.some((one) => one.label === label && boxIou(one.box, [x0, y0, x1, y1] as Box) > 0.6);
      if (hit) found++;
    }
  }
  expect(all).toBeGreaterThan(2);
  return found / all;
}

describe("florence detect", () => {
  it("names the boxes of a class-agnostic detector by the image–text model, from crops", async () => {
    const { exitCode, stdout, stderr } = await run("objects", "--labels", "red, green,blue", "--json");
    expect([exitCode, stderr]).toEqual([0, ""]);
    const { settings, lines } = split(stdout);
    expect(settings).toMatchObject({
      method: "crops",
      detector: { name: "objects", fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) },
      model: { name: "toy", fingerprint: toy.fingerprint },
      labels: names,
      backgrounds: ["background", "nothing in particular", "something else"],
      score: "objectness^0.5 · probability^0.5",
      scoreThreshold: 0.3,
      proposals: 50,
      margin: 0.1,
    });
    expect(lines.map(({ path }) => path)).toEqual([0, 1, 2, 3].map((i) => join(folder, "photos", `${i}.png`)));
    expect(recall(lines)).toBeGreaterThan(0.85);
    for (const { width, height, detections } of lines) {
      expect([width, height]).toEqual([2 * size, 2 * size]);
      const scores = detections.map(({ score }) => score);
      expect(scores).toEqual([...scores].sort((a, b) => b - a));
      for (const { box, score } of detections) {
        expect(box[0] >= 0 && box[0] < box[2] && box[2] <= width && box[1] < box[3] && box[3] <= height).toBe(true);
        expect(score).toBeGreaterThanOrEqual(0.3);
      }
    }
  });

  it("names all boxes of a picture from one look at it, where the model can, and says so where it cannot", async () => {
    let looks = 0;
    const withRegions: FlorenceModel = {
      ...toy,
      async embedRegions(image, boxes) {
        if ("tokens" in image) throw new Error("the detector's encoder is not this model's");
        looks++;
        const parts = Array.from(
          { length: boxes.length / 4 },
          (_, i): Box => [boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]],
        );
        return toy.embedImages(parts.map((box) => cropAround(image, box as unknown as Box, 0)));
      },
    };
    const words = ["--labels", "red,green,blue", "--method", "regions", "--margin", "0", "--json"];
    const { exitCode, stdout } = await runWith(withRegions, "objects", ...words);
    expect([exitCode, looks]).toEqual([0, pictures.length]);
    const { settings, lines } = split(stdout);
    expect(settings).toMatchObject({ method: "regions", proposals: 50, margin: 0, labels: names });
    expect(recall(lines)).toBeGreaterThan(0.85);
    const refused = await run("objects", ...words);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain(
      "toy: boxes can be named from regions by a model with a CoSwin image encoder alone",
    );
    expect(refused.stderr).toContain("--method crops");
  });

  it("weighs objectness and label as it is told, and drops what looks most like a background", async () => {
    const boxesOnly = split(
      (await run("objects", "--labels", "blue,red,green", "--objectness-weight", "1", "--json")).stdout,
    );
    const both = split((await run("objects", "--labels", "blue,red,green", "--json")).stdout);
    expect(boxesOnly.settings.score).toBe("objectness^1 · probability^0");
    const first = boxesOnly.lines[0]?.detections[0];
    const same = both.lines[0]?.detections.find(({ box }) => boxIou(box, first?.box as Box) > 0.99);
    expect(same?.score).toBeGreaterThan(first?.score as number); // the label is all but certain
    const words = ["--labels", "red", "--background", "green,blue", "--json"];
    const reds = split((await run("objects", ...words)).stdout);
    expect(recall(reds.lines, ["red"])).toBe(1);
    const all = both.lines.flatMap(({ detections }) => detections).length;
    const left = reds.lines.flatMap(({ detections }) => detections);
    expect(left.length).toBeLessThan(all);
    expect(new Set(left.map(({ label }) => label))).toEqual(new Set(["red"]));
  });

  it("lets a detector of text classes name boxes by itself, labels in any order and number", async () => {
    const { stdout } = await run("open", "--labels", "blue,red,green", "--json");
    const { settings, lines } = split(stdout);
    expect(settings).toMatchObject({ method: "head", templates: ["{}"], score: "class · centerness" });
    expect(recall(lines)).toBeGreaterThan(0.85);
    const few = split((await run("open", "--labels", "green", "--json")).stdout);
    expect(recall(few.lines, ["green"])).toBe(1);
    const wrong = await run("stranger", "--labels", "green");
    expect(wrong.exitCode).toBe(5);
    expect(wrong.stderr).toContain(
      "must be embedded by the model that it was trained with, toy (000000000000), got toy",
    );
  });

  it("needs no labels for a detector with classes of its own; they choose among them", async () => {
    const all = split((await run("colours", "--score-threshold", "0.1", "--json")).stdout);
    expect(all.settings).toMatchObject({ method: "head", labels: names });
    expect(all.settings).not.toHaveProperty("model");
    expect(recall(all.lines)).toBeGreaterThan(0.85);
    const reds = split((await run("colours", "--labels", "red", "--score-threshold", "0.1", "--json")).stdout);
    expect(recall(reds.lines, ["red"])).toBe(1);
    expect(new Set(reds.lines.flatMap(({ detections }) => detections.map(({ label }) => label)))).toEqual(
      new Set(["red"]),
    );
    const other = await run("colours", "--labels", "red,pink");
    expect(other).toMatchObject({ exitCode: 2, stdout: "" });
    expect(other.stderr).toContain('labels must be among its classes (red, green, blue), got "pink"');
    const crops = split((await run("colours", "--method", "crops", "--labels", "blue,yellow", "--json")).stdout);
    expect(crops.settings.method).toBe("crops");
    expect(recall(crops.lines, ["blue"])).toBe(1);
  });

  it("finds more like an example, a box of a picture", async () => {
    const at = pictures.findIndex(({ objects }) => objects.classes.includes(1));
    const { objects } = pictures[at] as ColouredPicture;
    const which = objects.classes.indexOf(1);
    const box = [...objects.boxesXyxy.subarray(4 * which, 4 * which + 4)].map((edge) => 2 * edge);
    const example = `green=${join(folder, "photos", `${at}.png`)}:${box.join(",")}`;
    const { settings, lines } = split((await run("objects", "--like", example, "--json")).stdout);
    expect(settings).toMatchObject({ labels: ["green"], score: "objectness^0.5 · cosine^0.5", examples: [{ box }] });
    expect(recall(lines, ["green"])).toBe(1);
    // Likeness ranks: the best boxes of all are of the example's colour.
    const best = lines.flatMap((line) => line.detections.map((one) => ({ ...one, path: line.path })));
    best.sort((a, b) => b.score - a.score);
    const top = best[0] as (typeof best)[number];
    const { objects: truth } = pictures[Number(top.path.match(/(\d)\.png$/)?.[1])] as ColouredPicture;
    const ious = [...truth.classes].map((_, i) => {
      const [x0, y0, x1, y1] = [...truth.boxesXyxy.subarray(4 * i, 4 * i + 4)].map((edge) => 2 * edge);
      return boxIou(top.box, [x0, y0, x1, y1] as Box);
    });
    expect(overfitColours[truth.classes[ious.indexOf(Math.max(...ious))] as number]).toEqual(overfitColours[1]);

    const bare = await run("objects", "--like", example, "--labels", "green,red");
    expect(bare.stderr).toContain('each needs one, since likeness to pictures and to words differ, got none of "red"');
    const outside = await run("objects", "--like", `${join(folder, "photos/0.png")}:500,0,600,9`);
    expect(outside).toMatchObject({ exitCode: 2 });
    expect(outside.stderr).toContain("must lie in the picture of 128×128");
    const both = split((await run("objects", "--labels", "green", "--like", example, "--json")).stdout);
    expect(recall(both.lines, ["green"])).toBe(1);
  });

  it("reports a corrupt picture in its place, and draws the others", async () => {
    const mixed = join(folder, "mixed");
    await mkdir(join(mixed, "more"), { recursive: true });
    await sharp(join(folder, "photos/0.png")).toFile(join(mixed, "a.png"));
    await writeFile(join(mixed, "b.png"), "no picture");
    await sharp(join(folder, "photos/1.png")).toFile(join(mixed, "more/a.png"));
    const words = [mixed, "--detector", join(folder, "colours"), "--draw", join(folder, "drawn"), "--json"];
    const { exitCode, stdout, stderr } = await runFlorence(["detect", ...words], {
      loadModel: async () => toy,
      cacheFolder: join(folder, "cache"),
    });
    expect(exitCode).toBe(3);
    expect(stderr).toContain("1 of 3 inputs failed");
    const lines = jsonLines(stdout).slice(1);
    expect(lines.map((line) => Object.keys(line)[1])).toEqual(["width", "error", "width"]);
    expect((await readdir(join(folder, "drawn"))).sort()).toEqual(["a-2.jpg", "a.jpg"]);
    const { data, info } = await sharp(join(folder, "drawn/a.jpg")).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([2 * size, 2 * size]);
    const plain = await sharp(join(folder, "photos/0.png")).raw().toBuffer();
    const changed = data.filter((value, i) => Math.abs(value - (plain[i] as number)) > 80).length;
    expect(changed).toBeGreaterThan(100); // frames and tags
  });

  it("prints a line a box for people, and says so where nothing was found", async () => {
    const { stdout } = await run("colours", "--score-threshold", "0.4");
    expect(stdout).toMatch(/0\.png\n {2}\w+ 0\.\d\d {2}\[\d+, \d+, \d+, \d+\]\n/);
    const none = await run("colours", "--score-threshold", "1");
    expect(none.stdout.trimEnd().split("\n")).toHaveLength(4);
    expect(none.stdout).toContain("nothing found");
  });

  it.each([
    { words: ["objects"], code: 2, says: "labels are needed, got none" },
    { words: ["objects", "--labels", "a,,b"], code: 2, says: "none may be empty, got nothing as number 2" },
    { words: ["objects", "--labels", "a,a"], code: 2, says: 'got "a" twice' },
    { words: ["objects", "--labels", ""], code: 2, says: "none may be empty" },
    { words: ["objects", "--labels", Array.from({ length: 10_001 }, (_, i) => i).join()], code: 2, says: "1 to 10000" },
    { words: ["objects", "--labels-file", "nowhere.txt"], code: 4, says: "nowhere.txt: must exist" },
    { words: ["objects", "--labels", "a", "--like", "x.jpg:4,4,2,8"], code: 2, says: "with x0 < x1 and y0 < y1" },
    { words: ["objects", "--like", "a=nowhere.jpg"], code: 4, says: "nowhere.jpg: must exist" },
    { words: ["objects", "--labels", "a", "--score-threshold", "2"], code: 2, says: "a number from 0 to 1" },
    { words: ["photos", "--labels", "a"], code: 5, says: "must be a detector's folder" },
    { words: ["nowhere", "--labels", "a"], code: 4, says: "must be a bundled model, a folder or a name of the hub" },
  ])("refuses $says", async ({ words: [detector, ...rest], code, says }) => {
    const { exitCode, stdout, stderr } = await run(detector as string, ...rest);
    expect(stderr).toContain(says);
    expect([exitCode, stdout]).toEqual([code, ""]);
  });
});
