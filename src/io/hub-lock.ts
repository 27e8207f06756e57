import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileError } from "./file-errors.ts";

const heartbeatMs = 2000;
const abandonedMs = 20_000;
const pollMs = 200;

/**
 * Does `action` while no other process does it under the same lock file. A lock whose process has died, or on another
 * host has given no sign of life for 20 s, is taken over. Two takers at the same instant could both succeed: what the
 * lock guards must bear that, and only be wasted work.
 *
 * @param onWait  called five times a second while another process holds the lock
 * @throws UserError naming `path`; the signal's reason
 */
export async function withFileLock<Result>(
  path: string,
  { signal, onWait }: { signal?: AbortSignal | undefined; onWait?: () => void | Promise<void> },
  action: () => Promise<Result>,
): Promise<Result> {
  const own = newHolder();
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw fileError(dirname(path), error);
  });
  while (!(await takeLock(path, own))) {
    signal?.throwIfAborted();
    const holder = await readHolder(path);
    if (holder && isAbandoned(holder)) await discardLock(path, holder);
    else {
      await onWait?.();
      await sleep(pollMs);
    }
  }
  return whileHolding(path, own, action);
}

/** What a process writes into a lock that it takes. */
export function newHolder(): string {
  return `${process.pid}@${hostname()} ${randomBytes(8).toString("hex")}`;
}

/** Does `action` with a taken lock, giving signs of life, and gives it back. */
export async function whileHolding<Result>(path: string, own: string, action: () => Promise<Result>): Promise<Result> {
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // a lock taken from us is noticed at the end
  }, heartbeatMs);
  heartbeat.unref();
  try {
    return await action();
  } finally {
    clearInterval(heartbeat);
    if ((await readFile(path, "utf8").catch(() => "")) === own) await rm(path, { force: true });
  }
}

/** Takes a lock if nobody has it. @throws UserError naming `path` */
export async function takeLock(path: string, own: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    try {
      await file.writeFile(own);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw fileError(path, error);
  }
}

/** Who holds a lock, as far as its file tells. */
export interface LockHolder {
  readonly text: string;
  readonly pid: number | undefined; // undefined for a file that was just made, or is no lock of ours
  readonly host: string | undefined;
  readonly lastSignMs: number; // when it last gave a sign of life, since the epoch
}

/** The holder of a lock; undefined if it was given back in the meantime. */
export async function readHolder(path: string): Promise<LockHolder | undefined> {
  const [stats, text] = await Promise.all([stat(path).catch(() => undefined), readFile(path, "utf8").catch(() => "")]);
  if (!stats) return undefined;
  const owner = /^(\d+)@(.+) [0-9a-f]+$/.exec(text);
  return { text, pid: owner ? Number(owner[1]) : undefined, host: owner?.[2], lastSignMs: stats.mtimeMs };
}

function isAbandoned({ pid, host, lastSignMs }: LockHolder): boolean {
  if (Date.now() - lastSignMs > abandonedMs) return true;
  return pid !== undefined && host === hostname() && !isRunning(pid);
}

/** Whether a process of this host runs. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // asks, does not signal
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Removes an abandoned lock by a rename first, which of several processes only one can do. If another process took the
 * lock over since `holder` was read, it gets it back.
 */
export async function discardLock(path: string, holder: LockHolder): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  await rename(path, aside).catch(() => undefined);
  const text = await readFile(aside, "utf8").catch(() => holder.text);
  if (text !== holder.text) await link(aside, path).catch(() => undefined); // fails where a lock is: never over one
  await rm(aside, { force: true });
}
