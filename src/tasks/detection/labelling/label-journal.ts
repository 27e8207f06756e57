import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, stat, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { UserError } from "../../../core/errors.ts";
import { fileError } from "../../../io/file-errors.ts";

const number = z.number();
const detectionSchema = z.object({ box: z.tuple([number, number, number, number]), label: z.string(), score: number });

/** A picture as it was labelled. */
export const labelledPictureSchema = z.object({
  file: z.string(), // below the folder of pictures, with "/"
  width: z.int().positive(), // pixels, as displayed
  height: z.int().positive(),
  detections: z.array(detectionSchema), // boxes xyxy, pixels of the picture
  bytes: number.optional(), // size and time of change of the file that was labelled; journals of before have neither
  changedMs: number.optional(),
});
export type LabelledPicture = z.infer<typeof labelledPictureSchema>;

const headerSchema = z.object({ format: z.literal("florence-labels/1"), settings: z.record(z.string(), z.unknown()) });
const syncEveryMs = 1000;

/** What tells whether a file is the one that was labelled. */
export interface FileState {
  readonly size: number;
  readonly mtimeMs: number;
}
type KnownState = Pick<LabelledPicture, "bytes" | "changedMs">;

/**
 * What has been labelled, one JSON object a line, only ever appended to. A run that is killed at any moment leaves at most a
 * torn last line, which is cut off when the journal is opened again. A picture stands in it once; one that changed and was
 * labelled anew stands in it again, and its last line holds.
 */
export class LabelJournal {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #done: Map<string, KnownState>;
  #appended = 0;
  #syncedAt = performance.now();

  private constructor(path: string, file: FileHandle, done: Map<string, KnownState>) {
    this.path = path;
    this.#file = file;
    this.#done = done;
  }

  /**
   * @param settings  what decides the labels, such as the detector's fingerprint and the label names, and in `folder` where
   *                  the pictures are; a journal of before, without a folder, is taken for any
   * @throws UserError: mismatch if the journal was begun with other settings; corrupt if a line but the last is damaged
   */
  static async open(path: string, settings: Readonly<Record<string, unknown>>): Promise<LabelJournal> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const done = new Map<string, KnownState>();
      const isNew = (await cutTornLine(path)) === 0;
      if (!isNew) {
        await requireSettings(path, settings);
        for await (const { file: name, bytes, changedMs } of linesOf(path)) done.set(name, { bytes, changedMs });
      }
      const file = await open(path, "a");
      if (isNew) {
        await file.appendFile(`${JSON.stringify({ format: "florence-labels/1", settings })}\n`);
        await file.sync();
      }
      return new LabelJournal(path, file, done);
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /** Pictures that stand in the journal. */
  get count(): number {
    return this.#done.size;
  }

  /** Pictures that were appended since the journal was opened. */
  get appended(): number {
    return this.#appended;
  }

  /** Whether the journal has this picture as the file is now. */
  has(file: string, { size, mtimeMs }: FileState): boolean {
    const known = this.#done.get(file);
    if (known === undefined) return false;
    return known.bytes === undefined || (known.bytes === size && known.changedMs === mtimeMs);
  }

  /** Appends a picture, unless it is there as it is now. It is on the disk within a second, or after {@link close}. */
  async append(picture: LabelledPicture): Promise<void> {
    const { file, bytes, changedMs } = picture;
    const known = this.#done.get(file);
    if (known && (bytes === undefined || (known.bytes === bytes && known.changedMs === changedMs))) return;
    await this.#file.appendFile(`${JSON.stringify(picture)}\n`);
    this.#done.set(file, { bytes, changedMs });
    this.#appended++;
    if (performance.now() - this.#syncedAt < syncEveryMs) return;
    await this.#file.datasync();
    this.#syncedAt = performance.now();
  }

  async close(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
  }
}

/**
 * The pictures of a journal, in the order they were labelled, one at a time, each as it was labelled last.
 *
 * @throws UserError corrupt, naming the line
 */
export async function* readJournal(path: string): AsyncGenerator<LabelledPicture> {
  const lastOf = new Map<string, number>();
  let count = 0;
  for await (const { file } of linesOf(path)) lastOf.set(file, count++);
  let place = 0;
  for await (const picture of linesOf(path)) if (lastOf.get(picture.file) === place++) yield picture;
}

async function* linesOf(path: string): AsyncGenerator<LabelledPicture> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  for await (const line of lines) {
    number++;
    if (number === 1) continue; // the settings
    const parsed = labelledPictureSchema.safeParse(parseJson(line));
    if (parsed.success) yield parsed.data;
    else throw damaged(path, number);
  }
}

async function requireSettings(path: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
  const lines = createInterface({ input: createReadStream(path) });
  let first = "";
  for await (const line of lines) {
    first = line;
    break; // closes the file as well
  }
  const header = headerSchema.safeParse(parseJson(first));
  if (!header.success) throw damaged(path, 1);
  const wanted: Record<string, unknown> = JSON.parse(JSON.stringify(settings));
  const names = new Set([...Object.keys(wanted), ...Object.keys(header.data.settings)]);
  for (const name of names) {
    const [before, now] = [JSON.stringify(header.data.settings[name]), JSON.stringify(wanted[name])];
    if (before === now || (name === "folder" && before === undefined)) continue;
    const rule = `${path}: was begun with ${name} ${before}`;
    throw new UserError("mismatch", `${rule}, got ${now}. Use the same again, or another --out.`);
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function damaged(path: string, line: number): UserError {
  return new UserError("corrupt", `${path}:${line}: must be a labelled picture, got other content. Use another --out.`);
}

/** Cuts off what follows the last line's end; returns the bytes that stay, 0 for no file. */
async function cutTornLine(path: string): Promise<number> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  const chunk = 64 * 1024;
  const file = size > 0 ? await open(path, "r") : undefined;
  try {
    for (let end = size; file && end > 0; end -= chunk) {
      const start = Math.max(0, end - chunk);
      const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
      const at = buffer.lastIndexOf(10);
      if (at < 0) continue;
      const whole = start + at + 1;
      if (whole < size) await truncate(path, whole);
      return whole;
    }
  } finally {
    await file?.close();
  }
  if (size > 0) await truncate(path, 0);
  return 0;
}
