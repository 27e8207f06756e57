import { mkdir, readFile, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";
import { CachedRepository, isReadOnlyError } from "./hub-cache.ts";
import { checksumOfFile, downloadFile } from "./hub-download.ts";
import { withFileLock } from "./hub-lock.ts";
import { describeRepository, type HubFile, type HubRepository, resolvePath } from "./hub-repository.ts";
import type { HubConnection } from "./hub-requests.ts";
import { type HubReference, hubReferenceText } from "./hub-settings.ts";

/** The files of a repository that are wanted. */
export interface WantedFiles {
  /** Configuration and the like: they come first, and are looked at before the weights come. */
  readonly sides: readonly string[];
  /** The most decisive last. */
  readonly weights: readonly string[];
}

/**
 * Says which files of a repository are wanted.
 *
 * @param names  files at the top of the repository
 * @param read   downloads a file, and returns its text
 */
export type FileChoice = (names: ReadonlySet<string>, read: (name: string) => Promise<string>) => Promise<WantedFiles>;

export interface PullProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  /** The file at work. */
  readonly file: string;
}

export interface PullOptions extends HubConnection {
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Compares files that are there already with their checksums, and replaces damaged ones. Default false. */
  readonly verifies?: boolean | undefined;
  /**
   * Looks at the snapshot when all but the weights are there. What it throws ends the pull: a model that cannot be read
   * is refused before its gigabytes come.
   *
   * @param folder  of the snapshot
   * @param names   every wanted file, the weights too
   */
  readonly checkSides?: ((folder: string, names: ReadonlySet<string>) => Promise<void>) | undefined;
}

export interface PulledSnapshot {
  readonly folder: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
  /** Bytes that were not there before. */
  readonly downloadedBytes: number;
}

/**
 * Brings chosen files of a model into the cache. The revision stands for the new commit only when all of them are
 * there, so a pull that is cut off leaves the earlier snapshot in use; called again, it goes on where it stopped.
 *
 * @throws UserError `network` (also under HF_HUB_OFFLINE), `not-found`, `unreadable`, `mismatch`; what `choose` and
 *         `checkSides` throw; the signal's reason
 */
export async function pullSnapshot(
  reference: HubReference,
  choose: FileChoice,
  options: PullOptions,
): Promise<PulledSnapshot> {
  const { settings } = options;
  const subject = hubReferenceText(reference);
  if (settings.isOffline) {
    const remedy = "Unset it, or name a model of `florence models`.";
    throw new UserError("network", `${subject}: the hub must be asked, got HF_HUB_OFFLINE. ${remedy}`);
  }
  const repository = await describeRepository(options, reference);
  try {
    return await pullCommit(reference, repository, choose, options);
  } catch (error) {
    if (!(error instanceof UserError) || !isReadOnlyError(error)) throw error;
    const remedy = "HF_HUB_OFFLINE=1 uses what a cache holds that is only to be read; HF_HUB_CACHE names another.";
    throw new UserError(error.code, `${error.message} ${remedy}`, { cause: error.cause });
  }
}

async function pullCommit(
  reference: HubReference,
  repository: HubRepository,
  choose: FileChoice,
  options: PullOptions,
): Promise<PulledSnapshot> {
  const { commit } = repository;
  const puller = new Puller(reference, commit, options);
  const folder = puller.cached.snapshot(commit);
  const read = async (name: string): Promise<string> => {
    const path = await puller.bring(await repository.describe(name));
    return readFile(path, "utf8");
  };
  const { sides, weights } = await choose(repository.names, read);
  const names = [...sides, ...weights];
  const files: HubFile[] = [];
  for (const name of names) files.push(await repository.describe(name));
  const totalBytes = sizeInAll(files);
  const [first, rest] = [files.slice(0, sides.length), files.slice(sides.length)];
  await puller.bringAll(first, { before: 0, totalBytes });
  if (options.checkSides) {
    await mkdir(folder, { recursive: true }).catch((error: unknown) => {
      throw fileError(folder, error);
    });
    await options.checkSides(folder, new Set(names));
  }
  await puller.bringAll(rest, { before: sizeInAll(first), totalBytes });
  await puller.cached.recordPull(commit, names);
  await puller.cached.setCommitOf(reference.revision, commit);
  return { folder, commit, files, downloadedBytes: puller.downloadedBytes };
}

class Puller {
  readonly cached: CachedRepository;
  downloadedBytes = 0;
  readonly #reference: HubReference;
  readonly #commit: string;
  readonly #options: PullOptions;

  constructor(reference: HubReference, commit: string, options: PullOptions) {
    this.cached = new CachedRepository(options.settings.cacheFolder, reference.name);
    this.#reference = reference;
    this.#commit = commit;
    this.#options = options;
  }

  /** Brings files; `before` bytes of `totalBytes` were brought earlier. */
  async bringAll(
    files: readonly HubFile[],
    { before, totalBytes }: { before: number; totalBytes: number },
  ): Promise<void> {
    await this.#requireSpace(files);
    let start = before;
    for (const file of files) {
      await this.bring(file, (bytes) =>
        this.#options.onProgress?.({ bytes: start + bytes, totalBytes, file: file.name }),
      );
      start += file.size;
    }
  }

  /** Brings one file into the snapshot, unless it is there, and returns its path. */
  async bring(file: HubFile, onBytes: (bytes: number) => void = () => undefined): Promise<string> {
    const { hex } = file.checksum;
    const { signal } = this.#options;
    const [target, partial] = [this.cached.blob(hex), this.cached.partial(hex)];
    if (!(await this.#isGood(target, file))) {
      const onWait = async () => onBytes(await sizeOf(partial)); // another process is at it
      await withFileLock(this.cached.lock(hex), { signal, onWait }, async () => {
        if (await this.#isGood(target, file)) return; // the other process has brought it
        await rm(target, { force: true });
        let first: number | undefined;
        const urlPath = resolvePath(this.#reference, this.#commit, file.name);
        await downloadFile(this.#options, { reference: this.#reference, file, urlPath, partial, target }, (bytes) => {
          first ??= bytes;
          onBytes(bytes);
        });
        this.downloadedBytes += file.size - (first ?? 0);
      });
    }
    onBytes(file.size);
    await this.cached.place(this.#commit, file.name, hex);
    return join(this.cached.snapshot(this.#commit), file.name);
  }

  async #isGood(path: string, file: HubFile): Promise<boolean> {
    if (!(await exists(path)) || (await sizeOf(path)) !== file.size) return false;
    if (!this.#options.verifies) return true;
    return (await checksumOfFile(path, file, this.#options.signal)) === file.checksum.hex;
  }

  async #requireSpace(files: readonly HubFile[]): Promise<void> {
    let needed = 0;
    for (const { size, checksum } of files) {
      if (!(await exists(this.cached.blob(checksum.hex)))) {
        needed += Math.max(0, size - (await sizeOf(this.cached.partial(checksum.hex))));
      }
    }
    if (needed === 0) return;
    const { cacheFolder } = this.#options.settings;
    try {
      await mkdir(cacheFolder, { recursive: true });
      const { bavail, bsize } = await statfs(cacheFolder);
      if (needed <= bavail * bsize) return;
      const got = `${gigabytes(bavail * bsize)} free for ${gigabytes(needed)}`;
      throw new UserError(
        "unreadable",
        `${cacheFolder}: needs free disk space, got ${got}. Free some, or set HF_HUB_CACHE to another disk.`,
      );
    } catch (error) {
      throw fileError(cacheFolder, error);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** A file's size in bytes, 0 if it is not there. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

function sizeInAll(files: readonly HubFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
