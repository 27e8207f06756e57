import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import type { DetectionImage } from "./detection-set.ts";
import { DetectionPictures, type PictureStoreOptions } from "./picture-store.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-pictures-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const imageOf = (i: number): DetectionImage => ({
  key: `train/${i}.png`,
  file: `${i}.png`,
  path: `boxes/${i}.png`,
  width: 40 + i,
  height: 20,
  boxes: [{ box: [10, 4, 30, 16], class: 1, crowd: i === 2, difficult: false, area: 240 }],
});
const images = [0, 1, 2, 3].map(imageOf);

/** Decodes to one grey a picture; picture 1 is broken. Counts its calls. */
function greySet() {
  const calls = { count: 0 };
  const decode = async ({ path, width, height }: DetectionImage): Promise<RgbImage> => {
    calls.count++;
    if (path.endsWith("1.png")) throw new UserError("corrupt", `${path}: must decode in full, got "cut".`);
    const image = rgbImage(width, height);
    image.data.fill(50 + width);
    return image;
  };
  return { calls, set: { name: "boxes", fingerprint: "f00d", decode } };
}

const opened = (set: PictureStoreOptions["set"], more: Partial<PictureStoreOptions> = {}): Promise<DetectionPictures> =>
  DetectionPictures.open({ set, images, longestSide: 20, ...more });

describe("DetectionPictures", () => {
  it("shrinks pictures with their boxes, names what does not decode, and goes on without it", async () => {
    const pictures = await opened(greySet().set);
    expect(pictures.count).toBe(3);
    expect(pictures.failures).toMatchObject([{ path: "boxes/1.png", error: { code: "corrupt" } }]);
    const { image, boxes } = pictures.picture(0);
    expect([image.width, image.height]).toEqual([20, 10]);
    expect(boxes).toEqual([{ box: [5, 2, 15, 8], class: 1, ignored: false }]);
    expect(new Set(image.data)).toEqual(new Set([90]));
    expect(pictures.picture(1).boxes[0].ignored).toBe(true); // of picture 2, a crowd
    expect(pictures.picture(2).image.data[0]).toBe(93);
  });

  it("keeps the pixels from run to run, in a file or in memory alike, and mends a file that was cut", async () => {
    const { set, calls } = greySet();
    const first = await opened(set, { cacheFolder: folder });
    expect(calls.count).toBe(4);
    const second = await opened(set, { cacheFolder: folder, memoryLimit: 10 }); // read picture by picture
    expect(calls.count).toBe(4);
    expect(second.failures).toEqual(first.failures);
    for (const i of [0, 1, 2]) expect(second.picture(i)).toEqual(first.picture(i));
    second.close();
    const [bin] = (await readdir(join(folder, "detection-pixels"))).filter((name) => name.endsWith(".bin"));
    await truncate(join(folder, "detection-pixels", bin), 100);
    const third = await opened(set, { cacheFolder: folder });
    expect(calls.count).toBe(8);
    expect(third.picture(2)).toEqual(first.picture(2));
  });

  it("gives a selection in its own order, without what did not decode", async () => {
    const pictures = await opened(greySet().set);
    const some = pictures.select([images[3], images[1], images[0]]);
    expect(some.count).toBe(2);
    expect(some.picture(0)).toEqual(pictures.picture(2));
    expect(some.picture(1)).toEqual(pictures.picture(0));
  });

  it("refuses too many for memory, and a set of nothing that decodes", async () => {
    const { set } = greySet();
    await expect(opened(set, { memoryLimit: 700 })).rejects.toMatchObject({ code: "too-large" });
    await expect(opened(set, { images: [images[1]] })).rejects.toMatchObject({ code: "empty" });
  });
});
