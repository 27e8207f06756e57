import { open, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { walkImageFiles } from "../../io/file-walk.ts";
import { readUtf8 } from "../../io/text-files.ts";
import { findCocoFiles } from "./coco-layout.ts";
import { findYoloConfig } from "./yolo-layout.ts";

/** Files at the root of labelled sets: then annotations below are not what the set is about. */
const labelledFile = /\.(csv|tsv|jsonl|ndjson|tar|tar\.gz|tgz)$|captions.*\.json$|idx3-ubyte(\.gz)?$/i;

/**
 * Whether a path is to be opened as pictures with boxes, rather than as labelled ones: by its description or the first
 * annotation file. COCO's own folder, with captions and boxes of the same pictures, is a labelled one.
 */
export async function holdsBoxes(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return false;
  if (!stats.isDirectory()) return /\.ya?ml$/i.test(path) || (path.toLowerCase().endsWith(".json") && hasBoxes(path));
  const [coco] = await findCocoFiles(path);
  if (coco && basename(coco.path) === "_annotations.coco.json") return true;
  const config = await findYoloConfig(path);
  if (config && isDescription(await readUtf8(config))) return true;
  const names = [...(await readdir(path)), ...(await readdir(join(path, "annotations")).catch(() => []))];
  // `florence label` puts scores.jsonl beside what it writes as Pascal VOC.
  if (names.some((name) => labelledFile.test(name) && name !== "scores.jsonl")) return false;
  if (coco) return hasBoxes(coco.path);
  for await (const found of walkImageFiles([path], { extensions: new Set(["xml"]) })) {
    return !("error" in found) && (await beginning(found.path)).includes("<annotation");
  }
  return false;
}

/** Whether YAML names classes and pictures of a split. */
function isDescription(text: string): boolean {
  return /^names\s*:/m.test(text) && /^(train|val|valid|test)\s*:/m.test(text);
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
