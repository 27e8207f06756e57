import { encodeXML } from "entities";
import type { DetectionBox, DetectionImage, DetectionSet } from "./detection-set.ts";
import {
  distinctStems,
  exactSize,
  type FormatWriter,
  lostBoxes,
  lostCategories,
  lostImages,
  splitFolders,
} from "./format-writer.ts";
import { differs, hasSegment } from "./write-yolo.ts";

/** Fields of an object that VOC itself knows. */
const vocFields: ReadonlySet<string> = new Set(["pose", "truncated", "occluded"]);

/**
 * Pascal VOC in Roboflow's folders: an .xml beside each picture, and `classes.txt`, which keeps the order of classes.
 * Coordinates count pixels from 1 and include the last one, as in the devkit; fractions are kept. Crowds become
 * difficult objects, which evaluation leaves out as it leaves out crowds.
 */
export const vocWriter: FormatWriter = {
  lost: (set) => [
    ...lostBoxes(set, "crowd flags; the objects are marked as difficult", ({ crowd }) => crowd),
    ...lostBoxes(set, "areas that are not those of the boxes", ({ area, box }) => differs(area, box)),
    ...lostBoxes(set, "segments", ({ segmentation }) => hasSegment(segmentation)),
    ...lostBoxes(set, "annotation ids", ({ id }) => id !== undefined),
    ...lostBoxes(set, "further fields of annotations", ({ extra }) => Object.keys(extra ?? {}).some(isForeign)),
    ...lostImages(set, "image ids", ({ id }) => id !== undefined),
    ...lostImages(set, "further fields of images", ({ extra }) => extra !== undefined),
    ...lostCategories(set),
  ],

  setFiles: (set) => new Map([["classes.txt", set.classes.map((name) => `${name}\n`).join("")]]),

  split(set, split, images) {
    const folder = splitFolders[split];
    const named = distinctStems(images);
    return {
      pictures: new Map([...named].map(([image, { file }]) => [image, `${folder}/${file}`])),
      files: new Map(
        [...named].map(([image, { stem, file }]) => [`${folder}/${stem}.xml`, annotation(set, image, file)]),
      ),
    };
  },
};

const isForeign = (field: string) => !vocFields.has(field);

function annotation(set: DetectionSet, { width, height, boxes }: DetectionImage, file: string): string {
  const slash = file.lastIndexOf("/");
  return `<annotation>
  <folder>${encodeXML(file.slice(0, Math.max(0, slash)))}</folder>
  <filename>${encodeXML(file.slice(slash + 1))}</filename>
  <size><width>${width}</width><height>${height}</height><depth>3</depth></size>
  <segmented>0</segmented>
${boxes.map((box) => objectElement(set, box)).join("")}</annotation>
`;
}

function objectElement(set: DetectionSet, { box, class: own, difficult, crowd, extra = {} }: DetectionBox): string {
  const [x0, y0, x1, y1] = box;
  const known = Object.entries(extra).filter(([field]) => !isForeign(field));
  const fields = known.map(([field, value]) => `    <${field}>${encodeXML(String(value))}</${field}>\n`);
  // xmin is one more than the edge, written so that taking one off gives the edge again.
  const [xmin, ymin] = [exactSize(-1, x0), exactSize(-1, y0)];
  return `  <object>
    <name>${encodeXML(set.classes[own])}</name>
${fields.join("")}    <difficult>${Number(difficult || crowd)}</difficult>
    <bndbox><xmin>${xmin}</xmin><ymin>${ymin}</ymin><xmax>${x1}</xmax><ymax>${y1}</ymax></bndbox>
  </object>
`;
}
