import { constants, copyFile, type FileHandle, mkdir, mkdtemp, open, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { encodeXML } from "entities";
import { stringify } from "yaml";
import { boxToCentre, boxToXywh } from "../../../core/boxes.ts";
import { UserError } from "../../../core/errors.ts";
import type { DetectionFormat } from "../../../data/detection/detection-set.ts";
import { DistinctNames, yoloName } from "../../../data/detection/file-names.ts";
import { replaceFolder } from "../../../io/atomic-files.ts";
import { fileError } from "../../../io/file-errors.ts";
import { type FailedFile, failedFile } from "../../../io/file-walk.ts";
import { labelPlaces } from "../class-prompts.ts";
import { pathOf } from "./label-folder.ts";
import { type LabelledPicture, readJournal } from "./label-journal.ts";

export interface WriteLabelsOptions {
  readonly folder: string; // of the pictures
  readonly journalPath: string;
  readonly labels: readonly string[]; // the classes, in their order
  readonly format: DetectionFormat;
  /** What COCO's `info` and `about.json` say: who labelled, with which settings. */
  readonly about: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

export interface WrittenLabels {
  readonly folder: string;
  readonly images: number;
  readonly boxes: number;
  /** Pictures of the journal that are not in the set: gone from the folder, or other files than were labelled. */
  readonly leftOut: readonly FailedFile[];
}

/**
 * Writes a journal as a detection set, one picture at a time, with copies of the pictures. COCO has each score in `score`;
 * YOLO and Pascal VOC have no place for one, so it stands in `scores.jsonl` there. The folder appears whole or not at all, in the
 * place of an older one. Pictures that have been deleted, renamed or changed since are told in `leftOut`.
 *
 * @throws UserError naming the picture that cannot be copied, or the folder
 */
export async function writeLabels(target: string, options: WriteLabelsOptions): Promise<WrittenLabels> {
  const whole = resolve(target);
  await mkdir(dirname(whole), { recursive: true });
  const temporary = await mkdtemp(join(dirname(whole), `.${basename(whole)}-`));
  const leftOut = new Map<string, FailedFile>();
  try {
    const counts = await writers[options.format](temporary, { ...options, leftOut });
    await writeFile(join(temporary, "about.json"), `${JSON.stringify(options.about, null, 2)}\n`);
    await replaceFolder(temporary, whole);
    return { folder: target, ...counts, leftOut: [...leftOut.values()] };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    options.signal?.throwIfAborted();
    throw fileError(whole, error);
  }
}

interface Counts {
  readonly images: number;
  readonly boxes: number;
}
/** With what was left out when pictures were copied, by the journal's names. */
type WriterOptions = WriteLabelsOptions & { readonly leftOut: Map<string, FailedFile> };
type Writer = (target: string, options: WriterOptions) => Promise<Counts>;

const writers: Readonly<Record<DetectionFormat, Writer>> = { coco: writeCoco, yolo: writeYolo, voc: writeVoc };

/** Goes through the journal, copies each picture to `place` of its name, and counts. */
async function eachPicture(
  { folder, journalPath, leftOut, signal, onProgress }: WriterOptions,
  place: (picture: LabelledPicture) => string,
  write: (picture: LabelledPicture, number: number) => Promise<void>,
): Promise<Counts> {
  let [images, boxes] = [0, 0];
  for await (const picture of readJournal(journalPath)) {
    signal?.throwIfAborted();
    const source = pathOf(folder, picture);
    const failure = await failureOf(source, picture, journalPath);
    if (failure) {
      leftOut.set(picture.file, failure);
      continue;
    }
    const path = place(picture);
    await mkdir(dirname(path), { recursive: true });
    // Shares blocks where the file system can.
    await copyFile(source, path, constants.COPYFILE_FICLONE).catch((error: unknown) => {
      throw fileError(source, error);
    });
    await write(picture, ++images);
    boxes += picture.detections.length;
    onProgress?.(images);
  }
  return { images, boxes };
}

/** Why a picture cannot have its labels any more. @throws UserError naming the file, if that cannot be told */
async function failureOf(
  path: string,
  { bytes, changedMs }: LabelledPicture,
  journalPath: string,
): Promise<FailedFile | undefined> {
  const stats = await stat(path).catch((error: unknown) => {
    const failure = fileError(path, error);
    if (failure.code !== "not-found") throw failure;
    return undefined;
  });
  if (stats === undefined) {
    const remedy = `Put it back, or take its line out of ${journalPath}.`;
    const rule = `${path}: must still be there, got nothing; it is left out`;
    return failedFile(path, new UserError("not-found", `${rule}. ${remedy}`));
  }
  if (bytes === undefined || (bytes === stats.size && changedMs === stats.mtimeMs)) return undefined;
  const rule = `${path}: must be the file that was labelled, got one changed since; it is left out`;
  return failedFile(path, new UserError("mismatch", `${rule}. Label again.`));
}

/** COCO JSON in Roboflow's folders. Annotations go to a file of their own first, since the images stand ahead of them. */
async function writeCoco(target: string, options: WriterOptions): Promise<Counts> {
  const { labels, about } = options;
  const split = join(target, "train");
  await mkdir(split);
  const categories = labels.map((name, i) => ({ id: i + 1, name }));
  const head = JSON.stringify({ info: about, categories }).slice(0, -1);
  const file = await open(join(split, "_annotations.coco.json"), "w");
  try {
    await file.appendFile(`${head},"images":[`);
    const counts = await eachPicture(
      options,
      (picture) => join(split, picture.file),
      async ({ file: name, width, height }, id) => {
        await file.appendFile(`${id > 1 ? "," : ""}\n${JSON.stringify({ id, file_name: name, width, height })}`);
      },
    );
    await file.appendFile('],"annotations":[');
    await appendAnnotations(file, options);
    await file.appendFile("]}\n");
    return counts;
  } finally {
    await file.close();
  }
}

async function appendAnnotations(file: FileHandle, { journalPath, labels, leftOut }: WriterOptions): Promise<void> {
  const placeOf = labelPlaces(labels);
  let [image, id] = [0, 0];
  for await (const { file: name, detections } of readJournal(journalPath)) {
    if (leftOut.has(name)) continue;
    image++;
    const rows = detections.map(({ box, label, score }) => {
      const bbox = boxToXywh(box).map((value) => Number(value.toFixed(2)));
      const area = Number((bbox[2] * bbox[3]).toFixed(4));
      const fields = { image_id: image, category_id: placeOf(label) + 1, bbox, area, iscrowd: 0, score };
      return `${id > 0 ? "," : ""}\n${JSON.stringify({ id: ++id, ...fields })}`;
    });
    if (rows.length > 0) await file.appendFile(rows.join(""));
  }
}

async function writeYolo(target: string, options: WriterOptions): Promise<Counts> {
  const { labels } = options;
  const placeOf = labelPlaces(labels);
  const names = new DistinctNames();
  let named = { stem: "", file: "" };
  await writeFile(
    join(target, "data.yaml"),
    stringify({ train: "train/images", nc: labels.length, names: [...labels] }),
  );
  return withScores(target, (scores) =>
    eachPicture(
      options,
      (picture) => {
        named = names.next(yoloName(picture.file));
        return join(target, "train", "images", named.file);
      },
      async (picture) => {
        const { width, height, detections } = picture;
        const rows = detections.map(({ box, label }) => {
          const [x, y, w, h] = boxToCentre(box);
          const shares = [x / width, y / height, w / width, h / height].map((value) => Number(value.toFixed(12)));
          return `${[placeOf(label), ...shares].join(" ")}\n`;
        });
        await writeBeside(join(target, "train", "labels", `${named.stem}.txt`), rows.join(""));
        await scores(picture, named.file);
      },
    ),
  );
}

async function writeVoc(target: string, options: WriterOptions): Promise<Counts> {
  const names = new DistinctNames();
  let named = { stem: "", file: "" };
  await writeFile(join(target, "classes.txt"), options.labels.map((name) => `${name}\n`).join(""));
  return withScores(target, (scores) =>
    eachPicture(
      options,
      (picture) => {
        named = names.next(picture.file);
        return join(target, "train", named.file);
      },
      async (picture) => {
        await writeBeside(join(target, "train", `${named.stem}.xml`), vocAnnotation(picture, basename(named.file)));
        await scores(picture, named.file);
      },
    ),
  );
}

function vocAnnotation({ width, height, detections }: LabelledPicture, file: string): string {
  const objects = detections.map(({ box: [x0, y0, x1, y1], label }) => {
    // Pixels are counted from 1, and the last one is included: the left edge is one more, the right one as it is.
    const [xmin, ymin] = [x0 + 1, y0 + 1].map((edge) => Number(edge.toFixed(2)));
    const bounds = `<xmin>${xmin}</xmin><ymin>${ymin}</ymin><xmax>${x1}</xmax><ymax>${y1}</ymax>`;
    return `  <object><name>${encodeXML(label)}</name><difficult>0</difficult><bndbox>${bounds}</bndbox></object>\n`;
  });
  return `<annotation>
  <filename>${encodeXML(file)}</filename>
  <size><width>${width}</width><height>${height}</height><depth>3</depth></size>
${objects.join("")}</annotation>
`;
}

async function writeBeside(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** `scores.jsonl`: for each picture its file name and the score of each box, in the order of its label file. */
async function withScores(
  target: string,
  work: (append: (picture: LabelledPicture, file: string) => Promise<void>) => Promise<Counts>,
): Promise<Counts> {
  const file = await open(join(target, "scores.jsonl"), "w");
  try {
    return await work(async ({ detections }, name) => {
      await file.appendFile(`${JSON.stringify({ file: name, scores: detections.map(({ score }) => score) })}\n`);
    });
  } finally {
    await file.close();
  }
}
