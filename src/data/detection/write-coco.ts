import { boxArea } from "../../core/boxes.ts";
import type { DetectionImage, DetectionSet } from "./detection-set.ts";
import { exactSize, type FormatWriter, splitFolders } from "./format-writer.ts";

/**
 * COCO JSON in Roboflow's folders: `<split>/_annotations.coco.json` beside the pictures. It holds all that we read, but for
 * category ids that mean different classes in different splits: the classes are then numbered from 1.
 */
export const cocoWriter: FormatWriter = {
  lost(set) {
    const ids = categoryIds(set);
    const count = set.categories.filter(({ id }, i) => id !== ids[i]).length;
    return count > 0 ? [{ what: "category ids that stood for several classes; all are numbered anew", count }] : [];
  },
  setFiles: () => new Map(),

  split(set, split, images) {
    const folder = splitFolders[split];
    const about = set.about[split] as Readonly<Record<string, unknown>> | undefined;
    const ids = categoryIds(set);
    const imageIds = uniqueIds(images);
    const boxIds = uniqueIds(images.flatMap(({ boxes }) => boxes));
    const root = {
      ...about,
      categories: set.classes.map((name, i) => ({ id: ids[i], name, ...set.categories[i].extra })),
      images: images.map((image) => {
        const { file, width, height, extra } = image;
        return { id: imageIds.get(image), file_name: file, width, height, ...extra };
      }),
      annotations: images.flatMap((image) =>
        image.boxes.map((box) => ({
          id: boxIds.get(box),
          image_id: imageIds.get(image),
          ...annotationFields(ids, box),
        })),
      ),
    };
    return {
      pictures: new Map(images.map((image) => [image, `${folder}/${image.file}`])),
      files: new Map([[`${folder}/_annotations.coco.json`, `${JSON.stringify(root)}\n`]]),
    };
  },
};

function annotationFields(ids: readonly number[], annotation: DetectionImage["boxes"][number]) {
  const [x0, y0, x1, y1] = annotation.box;
  const bbox = [x0, y0, exactSize(x0, x1), exactSize(y0, y1)];
  // Width times height as COCO's own files have it, not of the edges, which round otherwise.
  const isOwnArea = annotation.area === boxArea(annotation.box);
  return {
    category_id: ids[annotation.class],
    bbox,
    area: isOwnArea ? bbox[2] * bbox[3] : annotation.area,
    iscrowd: Number(annotation.crowd),
    ...(annotation.difficult ? { difficult: 1 } : {}),
    ...(annotation.segmentation === undefined ? {} : { segmentation: annotation.segmentation }),
    ...annotation.extra,
  };
}

/** The id of each class: as it was where no two are equal, else from 1. */
function categoryIds({ categories }: DetectionSet): number[] {
  const own = categories.map(({ id }) => id);
  return new Set(own).size === own.length ? own : own.map((_, i) => i + 1);
}

/** Ids as they were where all have one and no two are equal, else 1, 2, 3, …. */
function uniqueIds<Item extends { readonly id?: number | string }>(items: readonly Item[]): Map<Item, number | string> {
  const own = new Set(items.map(({ id }) => id));
  const isUsable = own.size === items.length && !own.has(undefined);
  return new Map(items.map((item, i) => [item, isUsable && item.id !== undefined ? item.id : i + 1]));
}
