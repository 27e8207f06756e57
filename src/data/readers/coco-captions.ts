import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { UserError } from "../../core/errors.ts";
import { fileError } from "../../io/file-errors.ts";
import { type DatasetRecord, type ReaderOptions, reportProblem, rowError } from "./record.ts";

const identifier = z.union([z.number(), z.string()]);
const captionsSchema = z.object({
  images: z.array(z.object({ id: identifier, file_name: z.string() })),
  annotations: z.array(z.object({ image_id: identifier, caption: z.string() })),
});

export interface CocoCaptionsOptions extends ReaderOptions {
  /** Where the images are; looked for near the file if it is left out. */
  readonly imageFolder?: string;
}

/**
 * Images with all their captions from a COCO captions file. Lin et al., arXiv:1405.0312. An image without captions is
 * a problem, as is a caption of an unknown image.
 */
export async function* readCocoCaptions(
  path: string,
  options: CocoCaptionsOptions = {},
): AsyncGenerator<DatasetRecord> {
  const { images, annotations } = await readCaptionsFile(path);
  const captions = new Map<string, string[]>(images.map(({ id }) => [String(id), []]));
  for (const { image_id: image, caption } of annotations) {
    const list = captions.get(String(image));
    const place = `${path}: image ${image}`;
    if (!list) reportProblem(options, place, rowError(place, "must be listed under images, got a caption only"));
    else if (caption.trim() !== "") list.push(caption.trim());
  }
  const folder = options.imageFolder ?? findImageFolder(path, images[0]?.file_name ?? "");
  for (const { id, file_name: file } of images) {
    options.signal?.throwIfAborted();
    const texts = captions.get(String(id)) ?? [];
    const place = `${path}: ${file}`;
    if (texts.length > 0) yield { key: file, image: join(folder, file), texts };
    else reportProblem(options, place, rowError(place, "must have a caption, got none"));
  }
}

async function readCaptionsFile(path: string): Promise<z.infer<typeof captionsSchema>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(path, error);
    throw new UserError("corrupt", `${path}: must be JSON, got other or truncated text.`, { cause: error });
  }
  const checked = captionsSchema.safeParse(parsed);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new UserError("unsupported", `${path}: must be COCO captions; ${issue.path.join(".")}: ${issue.message}.`);
}

/** COCO's own layout (`annotations/captions_val2017.json`, `val2017/`) and the usual simpler ones. */
function findImageFolder(path: string, firstImage: string): string {
  const folder = dirname(path);
  const split = basename(path, ".json").replace(/^captions_/, "");
  const candidates = [folder, join(folder, "images"), join(folder, "..", split), join(folder, "..", "images", split)];
  return candidates.find((candidate) => existsSync(join(candidate, firstImage))) ?? folder;
}
