import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, realpath, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { UserError } from "../core/errors.ts";
import { writeFileAtomic } from "./atomic-files.ts";
import { fileError } from "./file-errors.ts";
import { type HubReference, isCommit } from "./hub-settings.ts";

/**
 * One repository in the cache that the Python client shares with us:
 *
 *     models--OWNER--NAME/refs/REV               the commit that a branch or tag stood for when it was pulled
 *     models--OWNER--NAME/blobs/CHECKSUM         the bytes of a file, once, however many commits have it
 *     models--OWNER--NAME/snapshots/COMMIT/FILE  a link to its blob
 *     models--OWNER--NAME/.florence/COMMIT       ours: the files of a pull that was finished, one a line
 */
export class CachedRepository {
  readonly name: string;
  readonly #folder: string;
  readonly #locks: string;

  constructor(cacheFolder: string, name: string) {
    const folderName = `models--${name.replaceAll("/", "--")}`;
    this.name = name;
    this.#folder = join(cacheFolder, folderName);
    this.#locks = join(cacheFolder, ".locks", folderName);
  }

  /** Every repository of models in a cache, by name; none if the cache is not there. */
  static async all(cacheFolder: string): Promise<CachedRepository[]> {
    const names = (await namesIn(cacheFolder)).map((entry) => /^models--(.+?)--(.+)$/.exec(entry));
    return names.flatMap((match) => (match ? [new CachedRepository(cacheFolder, `${match[1]}/${match[2]}`)] : []));
  }

  blob(checksum: string): string {
    return join(this.#folder, "blobs", checksum);
  }

  /** Where a download grows; not the Python client's `.incomplete`, which another process may be writing. */
  partial(checksum: string): string {
    return join(this.#folder, "blobs", `${checksum}.florence-incomplete`);
  }

  lock(checksum: string): string {
    return join(this.#locks, `${checksum}.florence-lock`);
  }

  snapshot(commit: string): string {
    return join(this.#folder, "snapshots", commit);
  }

  /** The commit of a revision when it was last pulled. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const commit = await readFile(this.#ref(revision), "utf8").catch(() => "");
    return isCommit(commit.trim()) ? commit.trim() : undefined;
  }

  /** Lets a revision stand for a commit; in a cache that is only to be read it stands for what it did. */
  async setCommitOf(revision: string, commit: string): Promise<void> {
    if (!isCommit(revision)) await writeIfAllowed(this.#ref(revision), commit);
  }

  /** Commits with a snapshot, each under the branches and tags that stand for it, or under itself if none does. */
  async pulled(): Promise<{ commit: string; revision: string }[]> {
    const commits = (await namesIn(join(this.#folder, "snapshots"))).filter(isCommit);
    const refs: { commit: string; revision: string }[] = [];
    for (const revision of await filesUnder(join(this.#folder, "refs"))) {
      const commit = await this.commitOf(revision);
      if (commit && commits.includes(commit)) refs.push({ commit, revision });
    }
    const unnamed = commits.filter((commit) => !refs.some((ref) => ref.commit === commit));
    return [...refs, ...unnamed.map((commit) => ({ commit, revision: commit }))];
  }

  /** Links a blob into a snapshot, unless it is; where the system allows no links, it is copied. */
  async place(commit: string, fileName: string, checksum: string): Promise<void> {
    const path = join(this.snapshot(commit), fileName);
    const blob = this.blob(checksum);
    if (await isSameFile(path, blob)) return; // nothing is written: a shared cache may only be read
    const temporary = join(this.snapshot(commit), `.${fileName}.${randomBytes(6).toString("hex")}`);
    try {
      await mkdir(dirname(path), { recursive: true });
      await symlink(relative(dirname(path), blob), temporary).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== "EPERM" && error.code !== "ENOTSUP") throw error; // Windows without developer mode
        await copyFile(blob, temporary);
      });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw fileError(path, error);
    }
  }

  /** Notes a finished pull. Without the note, in a cache that is only to be read, the hub is asked again next time. */
  async recordPull(commit: string, fileNames: readonly string[]): Promise<void> {
    await writeIfAllowed(join(this.#folder, ".florence", commit), `${fileNames.join("\n")}\n`);
  }

  /** The files of a finished pull; undefined if there was none, or if one of them is gone. */
  async recordedPull(commit: string): Promise<string[] | undefined> {
    const text = await readFile(join(this.#folder, ".florence", commit), "utf8").catch(() => "");
    const names = text.split("\n").filter((name) => name !== "");
    for (const name of names) {
      if (!(await stat(join(this.snapshot(commit), name)).catch(() => undefined))) return undefined;
    }
    return names.length > 0 ? names : undefined;
  }

  #ref(revision: string): string {
    return join(this.#folder, "refs", ...revision.split("/"));
  }
}

/** The model whose snapshot a folder of the cache is, at its commit; undefined for any other folder. */
export function hubNameOfSnapshot(folder: string): HubReference | undefined {
  const match = /[\\/]models--([^\\/]+?)--([^\\/]+)[\\/]snapshots[\\/]([0-9a-f]{40})[\\/]?$/.exec(folder);
  return match ? { name: `${match[1]}/${match[2]}`, revision: match[3] } : undefined;
}

/** Whether a failure is that of a folder or disk where this process may not write. */
export function isReadOnlyError(error: unknown): boolean {
  const failed = error instanceof UserError ? error.cause : error;
  return failed instanceof Error && "code" in failed && ["EACCES", "EPERM", "EROFS"].includes(String(failed.code));
}

/** Writes a small file that the model can be used without. */
async function writeIfAllowed(path: string, text: string): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
  await writeFileAtomic(path, text).catch((error: unknown) => {
    if (!isReadOnlyError(error)) throw error;
  });
}

/** Whether two paths lead to one file; false if either leads nowhere. */
async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => realpath(path).catch(() => undefined)));
  return first !== undefined && first === second;
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Paths of the files under a folder, from it, with `/` between the parts: a branch may be called `a/b`. */
async function filesUnder(folder: string, prefix = ""): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const paths: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) paths.push(...(await filesUnder(join(folder, entry.name), `${prefix}${entry.name}/`)));
    else if (!entry.name.startsWith(".")) paths.push(`${prefix}${entry.name}`);
  }
  return paths;
}
