import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";

/** Writes a picture of one colour, which differs by `shade`; EXIF `orientation` if it is given. */
export async function writePicture(
  path: string,
  { width = 40, height = 30, shade = 0, orientation }: PictureOptions = {},
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const background = { r: shade % 256, g: (shade * 7) % 256, b: 99 };
  let image = sharp({ create: { width, height, channels: 3, background } });
  if (orientation !== undefined) image = image.withMetadata({ orientation });
  writeFileSync(path, await image.jpeg().toBuffer());
}

export interface PictureOptions {
  readonly width?: number;
  readonly height?: number;
  readonly shade?: number;
  readonly orientation?: number;
}

export function writeText(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

export function writeJson(path: string, value: unknown): void {
  writeText(path, JSON.stringify(value));
}

/** A Roboflow COCO export of two splits with everything that COCO can say. */
export async function makeCocoSet(root: string): Promise<void> {
  await writePicture(join(root, "train/a.jpg"), { shade: 1 });
  await writePicture(join(root, "train/b.jpg"), { shade: 2, width: 50, height: 64 });
  await writePicture(join(root, "valid/a.jpg"), { shade: 3 });
  const categories = [
    { id: 7, name: "zebra", supercategory: "animal" },
    { id: 3, name: "ant & bee", supercategory: "animal" },
  ];
  writeJson(join(root, "train/_annotations.coco.json"), {
    info: { year: 2026 },
    licenses: [{ id: 1, name: "CC0" }],
    categories,
    images: [
      { id: 11, file_name: "a.jpg", width: 40, height: 30, license: 1 },
      { id: 5, file_name: "b.jpg", width: 50, height: 64 },
    ],
    annotations: [
      { id: 901, image_id: 11, category_id: 7, bbox: [1.1, 2.3, 10.7, 9.9], area: 105.93, iscrowd: 0, score: 0.5 },
      {
        id: 902,
        image_id: 11,
        category_id: 3,
        bbox: [0, 0, 40, 30],
        area: 700.5,
        iscrowd: 1,
        segmentation: { size: [30, 40], counts: [1200] },
      },
      {
        id: 17,
        image_id: 5,
        category_id: 3,
        bbox: [20, 30, 30, 34],
        area: 999,
        iscrowd: 0,
        difficult: 1,
        segmentation: [[20, 30, 50, 30, 50, 64]],
      },
    ],
  });
  writeJson(join(root, "valid/_annotations.coco.json"), {
    categories,
    images: [{ id: 11, file_name: "a.jpg", width: 40, height: 30 }],
    annotations: [],
  });
}
