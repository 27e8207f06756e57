import { open, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { walkImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { findCocoFiles } from "./coco-layout.ts";
import { findYoloConfig } from "./yolo-layout.ts";

/** Files at the root of labelled sets, which are no sets of boxes whatever lies below. */
const labelledFile = /\.(csv|tsv|jsonl|ndjson|tar|tar\.gz|tgz)$|captions.*\.json$|idx3-ubyte(\.gz)?$/i;

/**
 * Whether a path is to be opened as pictures with boxes, rather than as labelled ones: by its description or the first
 * annotation file. COCO's own folder, with captions and boxes of the same pictures, is a labelled one.
 */
export async function holdsBoxes(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return false;
  if (!stats.isDirectory()) return /\.ya?ml$/i.test(path) || (path.toLowerCase().endsWith(".json") && hasBoxes(path));
  const names = [...(await readdir(path)), ...(await readdir(join(path, "annotations")).catch(() => []))];
  if (names.some((name) => labelledFile.test(name))) return false;
  const [coco] = await findCocoFiles(path);
  if (coco) return basename(coco.path) === "_annotations.coco.json" || hasBoxes(coco.path);
  const config = await findYoloConfig(path);
  if (config && /^names\s*:/m.test(await readUtf8(config))) return true;
  for await (const found of walkImageFiles([path], { extensions: new Set(["xml"]) })) {
    return !("error" in found) && (await beginning(found.path)).includes("<annotation");
  }
  return false;
}

async function hasBoxes(path: string): Promise<boolean> {
  try {
    const { annotations, categories } = JSON.parse((await readUtf8(path)).replace(/^\ufeff/, ""));
    if (!Array.isArray(annotations) || !Array.isArray(categories)) return false;
    return annotations.every((one) => one?.caption === undefined);
  } catch {
    return false; // who opens it as a labelled set says what is wrong with it
  }
}

async function beginning(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}
