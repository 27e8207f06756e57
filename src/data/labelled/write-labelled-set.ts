import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import type { LabelledImage, SplitName } from "./labelled-set.ts";
import type { OpenedLabelledSet } from "./open-labelled-set.ts";
import { TableSink } from "./table-sink.ts";
import { WebdatasetSink } from "./webdataset-sink.ts";
import { type SetSink, writeNew } from "./written-image.ts";

/** The forms that a set can be written in. */
export const writtenForms = ["folder", "csv", "jsonl", "webdataset"] as const;
export type WrittenForm = (typeof writtenForms)[number];

export interface WriteSetOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
  /** Told of every image that cannot be read; without it the first one ends the writing. */
  readonly onFailure?: (image: LabelledImage, error: unknown) => void;
}

/**
 * Writes a set in another form, losing no label, caption or split; images keep their bytes. The folder appears when it
 * is whole.
 *
 * @param folder  must not be there yet
 * @returns       how many images were written
 * @throws        UserError `mismatch` if the form cannot hold the set, naming one that can; `bad-argument` for a folder
 *                that is there
 */
export async function writeLabelledSet(
  set: OpenedLabelledSet,
  form: WrittenForm,
  folder: string,
  { signal, onProgress, onFailure }: WriteSetOptions = {},
): Promise<number> {
  if (existsSync(folder)) {
    throw new UserError("bad-argument", `${folder}: must be a new folder, got one that is there. Name another.`);
  }
  checkForm(set, form);
  const partial = `${folder}.${randomBytes(6).toString("hex")}.partial`;
  try {
    await mkdir(partial, { recursive: true });
    if (set.classes.length > 0) await writeFile(join(partial, "classes.txt"), `${set.classes.join("\n")}\n`);
    const sink = sinkFor(set, form, partial);
    const names = new Set<string>();
    let written = 0;
    for (const [split, images] of set.splits) {
      for (const image of images) {
        signal?.throwIfAborted();
        let bytes: Uint8Array;
        try {
          bytes = await storedBytes(set, image);
        } catch (error) {
          if (!onFailure) throw error;
          onFailure(image, error);
          continue;
        }
        const ending = endingOf(set, image);
        const labels = image.labels.map((label) => set.classes[label]);
        await sink.add({
          name: uniqueName(nameFor(form, image.key, split, labels), ending, names),
          ending,
          bytes,
          split,
          labels,
          texts: image.texts,
        });
        written++;
        onProgress?.(written);
      }
    }
    await sink.finish();
    await mkdir(dirname(folder), { recursive: true });
    await rename(partial, folder);
    return written;
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined); // the first error is the one to report
    if (error instanceof Error && "syscall" in error) throw fileError(folder, error);
    throw error;
  }
}

function checkForm(set: OpenedLabelledSet, form: WrittenForm): void {
  const images = [...set.splits.values()].flat();
  const refuse = (finding: string): never => {
    throw new UserError("mismatch", `Form ${form}: must hold all of the set, got ${finding}. Write jsonl.`);
  };
  if (form === "folder") {
    if (images.some(({ labels }) => labels.length !== 1)) refuse("pictures without one label each");
    if (images.some(({ texts }) => texts.length > 0)) refuse("captions");
    const odd = set.classes.find((name) => /[/\\:*?"<>|]|^\.|[. ]$/.test(name));
    if (odd !== undefined) refuse(`the class "${odd}", which is no name for a folder`);
  }
  const separated = set.classes.find((name) => /[|;]/.test(name));
  if (form === "csv" && separated !== undefined) refuse(`the class "${separated}", which holds a separator of labels`);
}

function sinkFor(set: OpenedLabelledSet, form: WrittenForm, folder: string): SetSink {
  if (form === "webdataset") return new WebdatasetSink(folder);
  if (form !== "folder") return new TableSink(folder, form);
  return {
    add: ({ name, bytes }) => writeNew(join(folder, name), bytes),
    async finish() {
      const [split] = set.splits.keys();
      for (const name of set.classes) await mkdir(join(folder, split, name), { recursive: true });
    },
  };
}

async function storedBytes(set: OpenedLabelledSet, image: LabelledImage): Promise<Uint8Array> {
  const place = set.placeOf(image);
  const bytes = await set.readBytes(image);
  if (place.kind !== "grey") return bytes;
  return sharp(bytes, { raw: { width: place.width, height: place.height, channels: 1 } })
    .png()
    .toBuffer();
}

function endingOf(set: OpenedLabelledSet, image: LabelledImage): string {
  if (set.placeOf(image).kind === "grey") return "png";
  const { format } = set.identityOf(image);
  if (format !== undefined) return format === "jpeg" ? "jpg" : format;
  return /\.([a-z0-9]{2,5})$/i.exec(image.key)?.[1].toLowerCase() ?? "bin";
}

/** Where a form has an image, before its name is made unique; the ending is still that of the key. */
function nameFor(form: WrittenForm, key: string, split: SplitName, labels: readonly string[]): string {
  const parts = key.split("/").map((part) => part.replace(/[\\:*?"<>|]/g, "_").replace(/^\.+$/, "_"));
  const own = parts.filter((part) => part !== "");
  if (form !== "folder") return own.join("/");
  // The class is the folder; what the key says of split and class already is not repeated.
  const folders = own.slice(0, -1).filter((part) => part !== split && part !== labels[0]);
  return [split, labels[0], [...folders, ...own.slice(-1)].join("-")].join("/");
}

/** The name with the ending of its format; a second image of that name gets a number. */
function uniqueName(wanted: string, ending: string, taken: Set<string>): string {
  const stem = wanted.replace(/\.[A-Za-z0-9]{2,5}$/, "");
  let name = `${stem}.${ending}`;
  for (let i = 2; taken.has(name.toLowerCase()); i++) name = `${stem}-${i}.${ending}`;
  taken.add(name.toLowerCase());
  return name;
}
