import { stringify } from "yaml";
import { boxArea, boxToCentre } from "../../core/boxes.ts";
import type { DetectionBox } from "./detection-set.ts";
import { yoloName } from "./file-names.ts";
import {
  distinctStems,
  type FormatWriter,
  lostBoxes,
  lostCategories,
  lostImages,
  splitFolders,
} from "./format-writer.ts";

/**
 * YOLO in Roboflow's folders: `<split>/images` and `<split>/labels`, with `data.yaml`. Crowds are left out, since a row
 * can only mean one object. Folders called `images` within a picture's name are dropped: readers would look for its labels there.
 */
export const yoloWriter: FormatWriter = {
  lost: (set) => [
    ...lostBoxes(set, "crowds, which are left out", ({ crowd }) => crowd),
    ...lostBoxes(set, "difficult flags", ({ difficult, crowd }) => difficult && !crowd),
    ...lostBoxes(set, "areas that are not those of the boxes", ({ area, box, crowd }) => !crowd && differs(area, box)),
    ...lostBoxes(set, "segments", ({ segmentation }) => hasSegment(segmentation)),
    ...lostBoxes(set, "annotation ids", ({ id }) => id !== undefined),
    ...lostBoxes(set, "further fields of annotations", ({ extra }) => extra !== undefined),
    ...lostImages(set, "image ids", ({ id }) => id !== undefined),
    ...lostImages(set, "further fields of images", ({ extra }) => extra !== undefined),
    ...lostCategories(set),
  ],

  setFiles(set) {
    const splits = [...set.splits.keys()].map((split) => [split, `${splitFolders[split]}/images`]);
    const config = { ...Object.fromEntries(splits), nc: set.classes.length, names: set.classes };
    return new Map([["data.yaml", stringify(config)]]);
  },

  split(_set, split, images) {
    const folder = splitFolders[split];
    const named = distinctStems(images, yoloName);
    return {
      pictures: new Map([...named].map(([image, { file }]) => [image, `${folder}/images/${file}`])),
      files: new Map(
        [...named].map(([{ boxes, width, height }, { stem }]) => {
          const rows = boxes.filter(({ crowd }) => !crowd).map((box) => `${row(box, width, height)}\n`);
          return [`${folder}/labels/${stem}.txt`, rows.join("")];
        }),
      ),
    };
  },
};

/** Twelve decimals: a millionth of a pixel in the largest picture. */
function row({ box, class: own }: DetectionBox, width: number, height: number): string {
  const [x, y, w, h] = boxToCentre(box);
  return [own, ...[x / width, y / height, w / width, h / height].map((value) => Number(value.toFixed(12)))].join(" ");
}

/** Whether an area is other than the box's, by more than the rounding of sets that were scaled. */
export function differs(area: number, box: DetectionBox["box"]): boolean {
  return Math.abs(area - boxArea(box)) > 0.5 + 1e-3 * area;
}

/** Whether there is a segment: Roboflow writes an empty list for none. */
export function hasSegment(segmentation: unknown): boolean {
  return segmentation !== undefined && !(Array.isArray(segmentation) && segmentation.length === 0);
}
