import { readdir, readFile, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { UserError } from "../core/errors.ts";
import { CachedRepository } from "../io/hub-cache.ts";
import { type PulledSnapshot, type PullProgress, pullSnapshot } from "../io/hub-pull.ts";
import {
  type HubReference,
  type HubSettings,
  hubReferenceText,
  hubSettingsFrom,
  parseHubReference,
} from "../io/hub-settings.ts";
import { bundledModelNames } from "./bundled-models.ts";
import { checkpointFiles, weightFilesOf } from "./checkpoint-choice.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { checkConfiguration } from "./checkpoint-formats.ts";

export interface ModelLookup {
  /** Folder of the models that come with the package. */
  readonly weightsFolder: string;
  /** Default: as the environment of the process says. */
  readonly settings?: HubSettings;
  readonly signal?: AbortSignal;
  /** Told of a download, if there is one. */
  readonly onProgress?: (progress: PullProgress) => void;
}

/** A model of the hub's cache. */
export interface CachedModel {
  /** `OWNER/NAME[@REV]`: what `--model` takes. */
  readonly name: string;
  readonly folder: string;
  readonly commit: string;
  /** Whether all of its files are there. */
  readonly isComplete: boolean;
}

/**
 * The checkpoint folder that `--model` means: a bundled name, else a folder, else a name of the hub, taken from the
 * cache or downloaded into it. A model that is in the cache is used as it is, without asking the network;
 * {@link pullModel} brings a newer revision.
 *
 * @throws UserError `not-found` listing the bundled models; `network`, `unreadable`, `mismatch` of the download
 */
export async function findModel(name: string, lookup: ModelLookup): Promise<string> {
  const local = await localModel(name, lookup.weightsFolder);
  if (local !== undefined) return local;
  const reference = parseHubReference(name);
  if (!reference) throw await unknownModel(name, lookup.weightsFolder);
  const settings = lookup.settings ?? hubSettingsFrom(process.env);
  const cached = await findInCache(reference, settings);
  if (cached !== undefined) return cached;
  if (settings.isOffline) throw notPulled(name, settings, "Unset HF_HUB_OFFLINE to download it.");
  return (await pullModel(reference, { ...lookup, settings })).folder;
}

/** As {@link findModel}, but downloads nothing. @throws UserError `not-found` */
export async function findModelHere(name: string, { weightsFolder, settings }: ModelLookup): Promise<string> {
  const local = await localModel(name, weightsFolder);
  if (local !== undefined) return local;
  const reference = parseHubReference(name);
  if (!reference) throw await unknownModel(name, weightsFolder);
  const hub = settings ?? hubSettingsFrom(process.env);
  const cached = await findInCache(reference, hub);
  if (cached === undefined) throw notPulled(name, hub, `Run \`florence models pull ${name}\` first.`);
  return cached;
}

/**
 * Downloads what is missing of a model of the hub. One that could not be read is refused before its weights come.
 *
 * @throws UserError (see `pullSnapshot`, {@link checkConfiguration})
 */
export async function pullModel(
  reference: HubReference,
  { settings, signal, onProgress, verifies }: Omit<ModelLookup, "weightsFolder"> & { readonly verifies?: boolean },
): Promise<PulledSnapshot> {
  const subject = hubReferenceText(reference);
  return pullSnapshot(reference, (names, read) => checkpointFiles(subject, names, read), {
    settings: settings ?? hubSettingsFrom(process.env),
    signal,
    onProgress,
    verifies,
    checkSides: (folder, names) => checkUnderName(subject, folder, names),
  });
}

/** Checks a snapshot before its weights come; errors name the model, not the cache, where its files mean nothing yet. */
async function checkUnderName(subject: string, folder: string, names: ReadonlySet<string>): Promise<void> {
  try {
    await checkConfiguration(folder, names);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const message = error.message.replaceAll(`${folder}${sep}`, `${subject} `).replaceAll(folder, subject);
    throw new UserError(error.code, message, { cause: error });
  }
}

/** The models of the cache, each under the revisions that stand for it; other programs' models are among them. */
export async function cachedModels({ cacheFolder }: HubSettings): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const repository of await CachedRepository.all(cacheFolder)) {
    for (const { commit, revision } of await repository.pulled()) {
      const name = hubReferenceText({ name: repository.name, revision });
      const isComplete =
        (await repository.recordedPull(commit)) !== undefined || (await hasWeights(repository.snapshot(commit)));
      models.push({ name, folder: repository.snapshot(commit), commit, isComplete });
    }
  }
  return models;
}

async function localModel(name: string, weightsFolder: string): Promise<string | undefined> {
  // Only plain names are looked up among the bundled ones: "." and ".." are folders.
  const bundled = join(weightsFolder, name);
  if (/^[\w-][\w.-]*$/.test(name) && (await kindOf(join(bundled, "config.json"))) === "file") return bundled;
  return (await kindOf(name)) === "folder" ? name : undefined;
}

/**
 * A snapshot of the cache that a model can be loaded from. One that we did not pull may lack its tokenizer, so it is
 * taken only where it cannot be completed: offline.
 */
async function findInCache(reference: HubReference, settings: HubSettings): Promise<string | undefined> {
  const repository = new CachedRepository(settings.cacheFolder, reference.name);
  const commit = await repository.commitOf(reference.revision);
  if (commit === undefined) return undefined;
  const folder = repository.snapshot(commit);
  if ((await repository.recordedPull(commit)) !== undefined) return folder;
  return settings.isOffline && (await hasWeights(folder)) ? folder : undefined;
}

async function hasWeights(folder: string): Promise<boolean> {
  const names: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if ((await kindOf(join(folder, name))) === "file") names.push(name); // a link whose blob is gone is none
  }
  const read = (name: string) => readFile(join(folder, name), "utf8");
  return weightFilesOf(CheckpointFolder.of(folder, new Set(names), read)).then(
    () => true,
    () => false,
  );
}

async function unknownModel(name: string, weightsFolder: string): Promise<UserError> {
  const names = await bundledModelNames(weightsFolder);
  const remedy = `Use ${names.length > 0 ? `one of ${names.join(", ")}, ` : ""}a checkpoint folder or OWNER/NAME.`;
  return new UserError(
    "not-found",
    `Model ${name}: must be a bundled model, a folder or a name of the hub, got none of them. ${remedy}`,
  );
}

function notPulled(name: string, { cacheFolder }: HubSettings, remedy: string): UserError {
  return new UserError("not-found", `Model ${name}: must be in ${cacheFolder}, got no complete copy. ${remedy}`);
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isFile() ? "file" : stats?.isDirectory() ? "folder" : undefined;
}
