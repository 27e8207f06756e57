import { AsyncLocalStorage } from "node:async_hooks";
import { mkdir, realpath, rm } from "node:fs/promises";
import { hostname, uptime } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../core/errors.ts";
import { writeError } from "./file-errors.ts";
import { discardLock, isRunning, type LockHolder, newHolder, readHolder, takeLock, whileHolding } from "./hub-lock.ts";

/** Without a sign of life for so long, a holder on another host counts as dead: a long native call may hold them up. */
const abandonedMs = 5 * 60_000;
/** Between making a lock file and writing the holder into it. */
const writingMs = 1000;

/** What this process holds or tries to take: any other lock of our own number is a dead one's, as in a container started again. */
const heldHere = new Set<string>();
/** What the callers of the running code hold, who may use their folder again. */
const heldByCallers = new AsyncLocalStorage<readonly string[]>();

/**
 * Does `action` while no other has the folder, by its file `lock`. A call within such an action passes. What a dead
 * process of this host left is taken over at once.
 *
 * @throws UserError: busy at once, with the folder and the holder's process, if another has it; unreadable if it may not
 *   be written
 */
export async function withFolder<Result>(folder: string, action: () => Promise<Result>): Promise<Result> {
  const path = join(await existing(folder), "lock");
  const callers = heldByCallers.getStore() ?? [];
  if (callers.includes(path)) return action();
  if (heldHere.has(path)) throw busy(folder, path, { pid: process.pid, host: hostname() });
  heldHere.add(path);
  try {
    const own = await takeAtOnce(folder, path);
    return await whileHolding(path, own, () => heldByCallers.run([...callers, path], action));
  } finally {
    heldHere.delete(path);
  }
}

/** Makes a folder if need be. Returns its path without links, by which two names of it are the same. */
async function existing(folder: string): Promise<string> {
  try {
    await mkdir(resolve(folder), { recursive: true });
    return await realpath(folder);
  } catch (error) {
    throw writeError(folder, error);
  }
}

/** Takes the lock, if need be from the dead. Returns what it wrote. @throws UserError (busy) */
async function takeAtOnce(folder: string, path: string): Promise<string> {
  const own = newHolder();
  for (let waited = false; !(await takeLock(path, own)); ) {
    const holder = await readHolder(path);
    if (!holder) continue; // given back in the meantime
    if (holder.pid === undefined && Date.now() - holder.lastSignMs < writingMs && !waited) {
      waited = true;
      await sleep(100);
    } else if (isDead(holder)) await removeDead(path, own);
    else throw busy(folder, path, holder);
  }
  return own;
}

/**
 * Removes a dead one's lock, one process at a time: the slower of two would else remove what the faster one has taken
 * since. So there is a lock on removing, held for a moment.
 */
async function removeDead(path: string, own: string): Promise<void> {
  const guard = `${path}.removing`;
  if (!(await takeLock(guard, own))) {
    const holder = await readHolder(guard);
    const isWriting = holder?.pid === undefined && Date.now() - (holder?.lastSignMs ?? 0) < writingMs;
    if (holder && !isWriting && isDead(holder)) await discardLock(guard, holder);
    else await sleep(20); // the caller looks again
    return;
  }
  try {
    const holder = await readHolder(path);
    if (holder && isDead(holder)) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

/** On this host the process itself decides, since one that is held up gives no sign of life and yet goes on later. */
function isDead({ pid, host, lastSignMs }: LockHolder): boolean {
  if (host !== hostname() || pid === undefined) return Date.now() - lastSignMs > abandonedMs;
  if (pid === process.pid) return true;
  const isBeforeBoot = lastSignMs < Date.now() - uptime() * 1000 - writingMs;
  return isBeforeBoot || !isRunning(pid);
}

function busy(folder: string, path: string, { pid, host }: Pick<LockHolder, "pid" | "host">): UserError {
  const where = host === undefined || host === hostname() ? "" : ` on ${host}`;
  const who = pid === undefined ? "an unknown process" : `process ${pid}${where}`;
  const remedy = `Wait for it or name another folder; if that process is no run of florence, delete ${path}.`;
  return new UserError("busy", `${folder}: must be used by one run at a time, got one that ${who} is at. ${remedy}`);
}
