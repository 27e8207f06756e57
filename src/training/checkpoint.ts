import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../core/errors.ts";
import { replaceFolder, writeFileAtomic } from "../io/atomic-files.ts";
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

/**
 * Writes `<runDir>/checkpoint-<step>/`, so that it appears whole or not at all, then the pointer file `latest`, then
 * removes all but the newest `keep`. The tensors must not change until the promise settles. Returns the folder.
 */
export async function writeCheckpoint(runDir: string, checkpoint: Checkpoint, { keep = 2 } = {}): Promise<string> {
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
  await removeOld(runDir, state.step, keep);
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
 */
export async function readLatestCheckpoint(runDir: string, options: ReadOptions = {}): Promise<Checkpoint | undefined> {
  for (const step of await finishedSteps(runDir)) {
    const folder = join(runDir, `checkpoint-${step}`);
    const checkpoint = await readCheckpoint(folder).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
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
  return undefined;
}

/** Reads one checkpoint folder. @throws UserError if a file of it is missing, cut short or malformed */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const { files, format: _format, ...state } = await readState(join(folder, "state.json"));
  const parts: Partial<Record<Part, TensorMap>> = {};
  for (const [part, size] of Object.entries(files) as [Part, number][]) {
    const path = join(folder, PARTS[part]);
    const { tensors } = await readSafetensors(path);
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

async function readState(path: string): Promise<z.infer<typeof storedState>> {
  try {
    return storedState.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new UserError("corrupt", `${path}: must be the state of a checkpoint, got: ${reason}.`, { cause: error });
  }
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

/** Removes old checkpoints and what killed writers left. Newer steps are of an abandoned future, and go as well. */
async function removeOld(runDir: string, step: number, keep: number): Promise<void> {
  const steps = await finishedSteps(runDir);
  const kept = new Set(steps.filter((other) => other <= step).slice(0, Math.max(1, keep)));
  const stale = steps.filter((other) => !kept.has(other)).map((other) => `checkpoint-${other}`);
  const leftovers = (await readdir(runDir)).filter((name) =>
    /^\.?checkpoint-\d+\.[0-9a-f]{12}\.(partial|old)$/.test(name),
  );
  for (const name of [...stale, ...leftovers]) await rm(join(runDir, name), { recursive: true, force: true });
}
