import { readdir, realpath } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { setImmediate } from "node:timers/promises";
import { UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { isTaken, nearestExisting, requirePlace } from "../io/output-folder.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";

/** Where an export goes, and who follows it. */
export interface ExportTarget {
  /** The folder to write. */
  readonly target: string;
  /** Replace what stands at `target`, if it is empty or a model's or an export's folder. */
  readonly force?: boolean | undefined;
  /** An abort ends the export at its next step; what stands at `target` stays. */
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done, as each step begins. */
  readonly onPhase?: ((phase: string) => void) | undefined;
}

/** Files that say whose a folder is, by their `format`. */
const markers = ["config.json", "preprocessing.json"];
const ownFormat = /^florence-(model|detector|export|detector-export)\//;

/** All that we write into such folders, and what file managers leave in any. */
const ownFiles: ReadonlySet<string> = new Set([
  ...markers,
  ...["model.safetensors", "image.onnx", "text.onnx", "detector.onnx"],
  ...["vocab.txt", "merges.txt", "spiece.model", "tokenizer.json", "tokenizer_config.json"],
  ...["README.md", "loss-curve.png", "predictions.jpg", "data-manifest.json", "golden.json"],
  ...["recipe.json", "scores.json", "tuning.json", "classifier.json", "classifier.safetensors"],
  ...[".DS_Store", "Thumbs.db", "desktop.ini"],
]);

/**
 * Requires that a folder may be written at the target without losing anything: nothing stands there, or with `force`
 * an empty folder or one of ours with nothing else in it; and it has no part in what is read.
 *
 * @param sources  the folders that are read
 * @throws UserError: bad-argument naming what is in the way, unreadable if the place may not be written
 */
export async function requireTarget(
  { target, force }: Pick<ExportTarget, "target" | "force">,
  sources: readonly string[],
): Promise<void> {
  await requirePlace(target);
  for (const source of sources) await requireApart(target, source);
  if (!(await isTaken(target))) return;
  if (!force) {
    throw new UserError("bad-argument", `${target}: must not exist yet, it does. Add --force to replace it.`);
  }
  await requireOurs(target);
}

/** Begins a step of an export: waits for a moment, so that a signal is heard between steps that hold the thread. */
export async function beginPhase(
  { signal, onPhase }: Pick<ExportTarget, "signal" | "onPhase">,
  phase: string,
): Promise<void> {
  signal?.throwIfAborted();
  onPhase?.(phase);
  await setImmediate();
  signal?.throwIfAborted();
}

/** Links are followed, of the target both: where it stands and what it stands for. */
async function requireApart(target: string, source: string): Promise<void> {
  const own = await realpath(source).catch((error: unknown) => {
    throw fileError(source, error);
  });
  const path = resolve(target);
  for (const place of [join(await realPlace(dirname(path)), basename(path)), await realPlace(path)]) {
    if (!holds(place, own) && !holds(own, place)) continue;
    const relation = place === own ? "is it" : holds(place, own) ? "holds it" : "lies in it";
    const rule = `${target}: must be apart from ${source}, which is read`;
    throw new UserError("bad-argument", `${rule}, got a folder that ${relation}. Name another folder.`);
  }
}

/** The real path, also of what does not exist yet. */
async function realPlace(path: string): Promise<string> {
  const existing = await nearestExisting(path);
  return join(await realpath(existing), relative(existing, path));
}

/** Whether `inner` is `outer` or lies in it. */
function holds(outer: string, inner: string): boolean {
  return `${inner}${sep}`.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`);
}

async function requireOurs(target: string): Promise<void> {
  const entries = await readdir(target, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTDIR" && error.code !== "ENOENT") throw fileError(target, error);
    const rule = `${target}: must be a folder to be replaced`;
    throw new UserError("bad-argument", `${rule}, got something else. Move it away, or name another folder.`);
  });
  if (entries.length === 0) return;
  const folder = await CheckpointFolder.open(target);
  const formats = await Promise.all(markers.map((marker) => folder.field(marker, "format")));
  const isOurs = formats.some((format) => typeof format === "string" && ownFormat.test(format));
  // Sorted, so that the same folder always names the same entry.
  const sorted = entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const foreign = sorted.find((entry) => entry.isDirectory() || !ownFiles.has(entry.name));
  if (isOurs && !foreign) return;
  const rule = `${target}: must be empty, or hold a model or an export of florence and nothing else, to be replaced`;
  const got = foreign
    ? `${foreign.name}${foreign.isDirectory() ? sep : ""} in it`
    : `no ${markers.join(" or ")} of such a one`;
  throw new UserError("bad-argument", `${rule}, got ${got}. Move it away, or name another folder.`);
}
