import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
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
  const own = `${process.pid}@${hostname()} ${randomBytes(8).toString("hex")}`;
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw fileError(dirname(path), error);
  });
  while (!(await take(path, own))) {
    signal?.throwIfAborted();
    if (await isAbandoned(path)) await discard(path);
    else {
      await onWait?.();
      await sleep(pollMs);
    }
  }
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

async function take(path: string, own: string): Promise<boolean> {
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

async function isAbandoned(path: string): Promise<boolean> {
  const [stats, text] = await Promise.all([stat(path).catch(() => undefined), readFile(path, "utf8").catch(() => "")]);
  if (!stats) return false; // given back in the meantime
  if (Date.now() - stats.mtimeMs > abandonedMs) return true;
  const owner = /^(\d+)@(.+) [0-9a-f]+$/.exec(text);
  return owner !== null && owner[2] === hostname() && !isRunning(Number(owner[1]));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // asks, does not signal
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Removes a lock by a rename first, which of several processes only one can do. */
async function discard(path: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  await rename(path, aside).catch(() => undefined);
  await rm(aside, { force: true });
}
