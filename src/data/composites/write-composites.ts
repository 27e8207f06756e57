import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import sharp from "sharp";
import { boxToXywh } from "../../core/boxes.ts";
import { UserError } from "../../core/errors.ts";
import { hashText, Rng } from "../../core/rng.ts";
import { replaceFolder } from "../../io/atomic-files.ts";
import { jitterColour } from "../box-transforms/jitter-colour.ts";
import { splitFolders } from "../detection/format-writer.ts";
import type { SplitName } from "../labelled/labelled-set.ts";
import { type Background, calmPart } from "./background-pictures.ts";
import { type Composite, composePicture } from "./compose-picture.ts";
import type { PackagedCutout } from "./cutout-packages.ts";

export interface CompositesOptions {
  readonly cutouts: readonly PackagedCutout[];
  readonly backgrounds: readonly Background[];
  readonly count: number; // pictures to train on
  readonly valCount: number; // with other cut-outs on other backgrounds
  readonly side: number; // pixels
  readonly seed: number;
  /** One class, "object", instead of one a caption. */
  readonly asObjects?: boolean;
  /** What stands in COCO's `info`: sources and licences. */
  readonly info: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface CompositesReport {
  readonly folder: string;
  readonly images: Readonly<Record<string, number>>; // by split
  readonly boxes: Readonly<Record<string, number>>;
  readonly classes: number;
  readonly cutouts: number;
  readonly backgrounds: number;
}

const mostObjects = 7;
const heldOut = 7; // one cut-out and background in so many is for validation alone

/**
 * Writes composites as COCO JSON in Roboflow's folders, with boxes and masks (run lengths) of what can be seen. The
 * captions are the classes. Equal options give equal files. No cut-out, caption or background of the validation split is in
 * the training split. The folder appears whole or not at all, in the place of an older one.
 *
 * @throws UserError `empty` if a split would have no cut-out or no background
 */
export async function writeComposites(folder: string, options: CompositesOptions): Promise<CompositesReport> {
  const { cutouts, backgrounds, count, valCount, asObjects = false, info } = options;
  const target = resolve(folder);
  const classes = asObjects ? ["object"] : [...new Set(cutouts.map(({ name }) => name))].sort();
  const categories = classes.map((name, i) => ({ id: i + 1, name }));
  await mkdir(dirname(target), { recursive: true });
  const temporary = await mkdtemp(join(dirname(target), `.${basename(target)}-`));
  const [images, boxes]: Record<string, number>[] = [{}, {}];
  try {
    for (const [split, pictures] of [
      ["train", count],
      ["val", valCount],
    ] as const) {
      if (pictures === 0) continue;
      const isOwn = (key: string): boolean => (hashText(`composites:${key}`) % heldOut === 0) === (split === "val");
      const parts = {
        cutouts: cutouts.filter(({ name }) => isOwn(name)),
        backgrounds: backgrounds.filter(({ key }) => isOwn(key)),
      };
      requireSome(split, parts);
      const place = join(temporary, splitFolders[split]);
      await mkdir(place);
      const done = split === "train" ? 0 : count;
      const lists = await writeSplit(place, parts, { ...options, pictures, split, done, classes });
      await writeFile(join(place, "_annotations.coco.json"), `${JSON.stringify({ info, categories, ...lists })}\n`);
      images[split] = lists.images.length;
      boxes[split] = lists.annotations.length;
    }
    await replaceFolder(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  return { folder, images, boxes, classes: classes.length, cutouts: cutouts.length, backgrounds: backgrounds.length };
}

interface Parts {
  readonly cutouts: readonly PackagedCutout[];
  readonly backgrounds: readonly Background[];
}

function requireSome(split: SplitName, { cutouts, backgrounds }: Parts): void {
  const missing = cutouts.length === 0 ? "cut-out" : backgrounds.length === 0 ? "background" : undefined;
  if (missing === undefined) return;
  throw new UserError("empty", `Composites: there must be a ${missing} for ${split}, got none. Give more of them.`);
}

interface SplitOptions extends CompositesOptions {
  readonly pictures: number;
  readonly split: SplitName;
  readonly done: number; // pictures of earlier splits
  readonly classes: readonly string[];
}

async function writeSplit(folder: string, parts: Parts, options: SplitOptions) {
  const { pictures, split, seed, side, done, count, valCount, classes } = options;
  const images: object[] = [];
  const annotations: object[] = [];
  const classOf = new Map(classes.map((name, i) => [name, i]));
  for (let i = 0; i < pictures; i++) {
    options.signal?.throwIfAborted();
    const rng = new Rng(`composites:${seed}:${split}:${i}`);
    const { composite, background, pasted } = compose(parts, side, rng);
    const file = `${split}-${String(i + 1).padStart(6, "0")}.jpg`;
    const { width, height, data } = composite.image;
    const quality = 75 + rng.int(20);
    await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg({ quality })
      .toFile(join(folder, file));
    images.push({ id: i + 1, file_name: file, width, height, background });
    for (const { class: which, box, area, visible, segmentation } of composite.objects) {
      const { key, name } = pasted[which];
      annotations.push({
        id: annotations.length + 1,
        image_id: i + 1,
        category_id: (options.asObjects ? 0 : (classOf.get(name) as number)) + 1,
        bbox: boxToXywh(box),
        area,
        iscrowd: 0,
        segmentation,
        visible: Number(visible.toFixed(4)),
        source: key,
      });
    }
    options.onProgress?.(done + i + 1, count + valCount);
  }
  return { images, annotations };
}

/** One composite; the class of its objects is their place in `pasted`. */
function compose(
  { cutouts, backgrounds }: Parts,
  side: number,
  rng: Rng,
): { composite: Composite; background: string; pasted: readonly PackagedCutout[] } {
  const { key, image } = rng.pick(backgrounds);
  const part = calmPart(image, side, rng);
  jitterColour(part, { brightness: 0.3, contrast: 0.2, saturation: 0.4 }, rng);
  const number = 1 + Math.floor(mostObjects * rng.uniform() ** 1.5);
  const kinds = [...new Set(cutouts.map((one) => kindOf(one)))];
  const pasted = Array.from({ length: number }, () => {
    const kind = rng.pick(kinds); // each source has its share, however many pictures it has
    return rng.pick(cutouts.filter((one) => kindOf(one) === kind));
  });
  const named = pasted.map(({ cutout }, i) => ({ cutout, class: i }));
  return { composite: composePicture(part, named, rng), background: key, pasted };
}

const kindOf = ({ key }: PackagedCutout): string => key.slice(0, key.indexOf("/"));
