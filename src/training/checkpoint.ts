import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
import { fileError } from "../io/file-errors.ts";
import { readSafetensors, writeSafetensors } from "../io/safetensors.ts";
import type { TensorMap } from "./optimizer.ts";

const FORMAT = "florence-checkpoint/1";
const PARTS = {
  model: "model.safetensors",
  optimizer: "optimizer.safetensors",
  average: "average.safetensors",
} as const;
type Part = keyof typeof PARTS;

/** Everything but tensors that a run needs to continue. `extra` is the caller's, any JSON. */
export interface CheckpointState {
  readonly step: number; // updates done
  readonly seed: number | string;
  readonly configHash: string; // of the recipe, from `hashConfig`
  readonly wallSeconds: number; // spent on the run so far, over all its sessions
  readonly optimizerSteps: number;
  readonly averageUpdates?: number | undefined;
  readonly extra: unknown;
}

export interface Checkpoint extends CheckpointState {
  readonly model: TensorMap;
  readonly optimizer?: TensorMap | undefined;
  readonly average?: TensorMap | undefined;
}

const storedState = z.object({
  format: z.literal(FORMAT),
  step: z.int().nonnegative(),
  seed: z.union([z.number(), z.string()]),
  configHash: z.string(),
  wallSeconds: z.number(),
  optimizerSteps: z.int().nonnegative(),
  averageUpdates: z.int().nonnegative().optional(),
  extra: z.unknown(),
  files: z.partialRecord(z.enum(Object.keys(PARTS) as Part[]), z.int()), // sizes in bytes
});

export interface WriteOptions {
  /** How many of the newest checkpoints stay. 2 */
  readonly keep?: number;
  /** Folders that stay besides, such as damaged ones that somebody may want to look at or mend. */
  readonly spared?: ReadonlySet<string>;
}

/**
 * Writes `<runDir>/checkpoint-<step>/`, so that it appears whole or not at all, then the pointer file `latest`, then
 * removes all but the newest `keep` and those `spared`. The tensors must not change until the promise settles. Returns
 * the folder; one of the same step is replaced.
 */
export async function writeCheckpoint(
  runDir: string,
  checkpoint: Checkpoint,
  { keep = 2, spared = new Set() }: WriteOptions = {},
): Promise<string> {
  const { model, optimizer, average, ...state } = checkpoint;
  const name = `checkpoint-${state.step}`;
  const unfinished = join(runDir, `.${name}.${randomBytes(6).toString("hex")}.partial`);
  await mkdir(unfinished, { recursive: true });
  try {
    const files: Partial<Record<Part, number>> = {};
    for (const [part, tensors] of Object.entries({ model, optimizer, average }) as [Part, TensorMap | undefined][]) {
      if (!tensors) continue;
      const path = join(unfinished, PARTS[part]);
      await writeSafetensors(path, tensors, { dtype: "F32", metadata: { format: FORMAT, step: String(state.step) } });
      files[part] = (await stat(path)).size;
    }
    await writeFileAtomic(
      join(unfinished, "state.json"),
      `${JSON.stringify({ format: FORMAT, ...state, files }, null, 2)}\n`,
    );
    await replaceFolder(unfinished, join(runDir, name));
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  await writeFileAtomic(join(runDir, "latest"), `${name}\n`);
  await removeOld(runDir, state.step, keep, spared);
  return join(runDir, name);
}

export interface ReadOptions {
  /** Demands this configuration: a checkpoint of another is an error, because the run would not be the same. */
  readonly configHash?: string;
  /** Told of every folder passed over because it is damaged. */
  readonly onSkip?: (folder: string, reason: string) => void;
}

/**
 * The newest whole checkpoint of a run, or undefined if it has none. Folders left by a killed writer are ignored; a
 * finished one that was damaged since is reported to `onSkip`, and the next older one is read.
 *
 * @throws UserError: corrupt if there are checkpoints and all are damaged, since a run that began anew would remove
 *   them; unreadable or unsupported for one that cannot be read for another reason than damage; mismatch
 */
export async function readLatestCheckpoint(runDir: string, options: ReadOptions = {}): Promise<Checkpoint | undefined> {
  const damaged: string[] = [];
  for (const folder of await finishedFolders(runDir)) {
    const checkpoint = await readCheckpoint(folder).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      damaged.push(folder);
      options.onSkip?.(folder, error.message);
      return undefined;
    });
    if (!checkpoint) continue;
    const { configHash } = checkpoint;
    if (options.configHash !== undefined && options.configHash !== configHash) {
      const remedy = "Resume with the recipe it was started with, or choose another output folder.";
      const rule = `the recipe must be that of the run, ${configHash}`;
      throw new UserError("mismatch", `${folder}: ${rule}, got ${options.configHash}. ${remedy}`);
    }
    return checkpoint;
  }
  refuseAllDamaged(runDir, damaged);
  return undefined;
}

/** The `configHash` of a run's newest checkpoint whose state can be read, or undefined if it has none. @throws as above */
export async function savedConfigHash(runDir: string): Promise<string | undefined> {
  const damaged: string[] = [];
  for (const folder of await finishedFolders(runDir)) {
    try {
      return (await readState(join(folder, "state.json"))).configHash;
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push(folder);
    }
  }
  refuseAllDamaged(runDir, damaged);
  return undefined;
}

function isDamage(error: unknown): error is UserError {
  return error instanceof UserError && error.code === "corrupt";
}

function refuseAllDamaged(runDir: string, damaged: readonly string[]): void {
  if (damaged.length === 0) return;
  const rule = `${runDir}: must have a checkpoint that can be read, got only damaged ones: ${damaged.join(", ")}`;
  throw new UserError("corrupt", `${rule}. Restore one, or delete them to begin the run anew.`);
}

/**
 * Reads one checkpoint folder.
 *
 * @throws UserError: corrupt if a file of it is missing, cut short or malformed; unsupported if it is of another
 *   format; unreadable if the system refuses
 */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const { files, format: _format, ...state } = await readState(join(folder, "state.json"));
  const parts: Partial<Record<Part, TensorMap>> = {};
  for (const [part, size] of Object.entries(files) as [Part, number][]) {
    const path = join(folder, PARTS[part]);
    const { tensors } = await readSafetensors(path).catch(lossAsDamage);
    const found = (await stat(path)).size;
    if (found !== size) throw new UserError("corrupt", `${path}: must have ${size} bytes, got ${found}.`);
    parts[part] = tensors;
  }
  const { model, optimizer, average } = parts;
  if (!model) throw new UserError("corrupt", `${folder}: must hold the model's weights, got none.`);
  return { ...state, model, optimizer, average };
}

/** A short digest of a recipe that does not depend on the order of its keys. */
export function hashConfig(config: unknown): string {
  const sortKeys = (_key: string, value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash("sha256").update(JSON.stringify(config, sortKeys)).digest("hex").slice(0, 16);
}

/** A folder appears with all its files: one that is gone or empty was lost since. */
function lossAsDamage(error: unknown): never {
  const isLoss = error instanceof UserError && (error.code === "not-found" || error.code === "empty");
  throw isLoss ? new UserError("corrupt", error.message, { cause: error }) : error;
}

async function readState(path: string): Promise<z.infer<typeof storedState>> {
  const text = await readFile(path, "utf8").catch((error: unknown) => lossAsDamage(fileError(path, error)));
  let reason: string;
  try {
    const value: unknown = JSON.parse(text);
    const format = value !== null && typeof value === "object" && "format" in value ? value.format : undefined;
    if (typeof format === "string" && format !== FORMAT) {
      const remedy = "Use the version of florence that wrote it, or choose another output folder.";
      throw new UserError("unsupported", `${path}: must be of format ${FORMAT}, got ${format}. ${remedy}`);
    }
    const checked = storedState.safeParse(value);
    if (checked.success) return checked.data;
    reason = z.prettifyError(checked.error);
  } catch (error) {
    if (error instanceof UserError) throw error;
    reason = (error as Error).message;
  }
  throw new UserError("corrupt", `${path}: must be the state of a checkpoint, got: ${reason}.`);
}

/** Steps of the checkpoint folders of a run, newest first. */
async function finishedSteps(runDir: string): Promise<number[]> {
  const names = await readdir(runDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new UserError("unreadable", `${runDir}: must be a readable folder, got ${error.code}.`, { cause: error });
  });
  const steps = names.flatMap((name) => /^checkpoint-(\d+)$/.exec(name)?.slice(1).map(Number) ?? []);
  return steps.sort((a, b) => b - a);
}

async function finishedFolders(runDir: string): Promise<string[]> {
  return (await finishedSteps(runDir)).map((step) => join(runDir, `checkpoint-${step}`));
}

/** Removes old checkpoints and what killed writers left. Newer steps are of an abandoned future, and go as well. */
async function removeOld(runDir: string, step: number, keep: number, spared: ReadonlySet<string>): Promise<void> {
  const isSpared = (other: number): boolean => other !== step && spared.has(join(runDir, `checkpoint-${other}`));
  const steps = (await finishedSteps(runDir)).filter((other) => !isSpared(other)); // the damaged do not count as kept
  const kept = new Set(steps.filter((other) => other <= step).slice(0, Math.max(1, keep)));
  const stale = steps.filter((other) => !kept.has(other)).map((other) => `checkpoint-${other}`);
  const leftovers = (await readdir(runDir)).filter((name) =>
    /^\.?checkpoint-\d+\.[0-9a-f]{12}\.(partial|old)$/.test(name),
  );
  for (const name of [...stale, ...leftovers]) await rm(join(runDir, name), { recursive: true, force: true });
}
