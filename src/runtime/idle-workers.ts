import type { CallTable } from "./worker-calls.ts";
import { WorkerThread } from "./worker-thread.ts";

/** How long a worker is kept for the next user. */
const lingerMs = 2_000;

interface IdleWorker {
  readonly worker: WorkerThread<CallTable>;
  readonly timer: NodeJS.Timeout;
}

const idle = new Map<string, IdleWorker[]>();

/** A worker of the script for one user alone: one that was given back lately, else a new one. */
export function borrowWorker<Calls extends CallTable>(entry: URL): WorkerThread<Calls> {
  const list = idle.get(entry.href) ?? [];
  for (let found = list.pop(); found; found = list.pop()) {
    clearTimeout(found.timer);
    if (!found.worker.hasFailed) return found.worker as unknown as WorkerThread<Calls>;
  }
  return new WorkerThread<Calls>(entry);
}

/** Gives a worker back that holds nothing of its user any more; nobody needs to wait for its end. */
export function returnWorker<Calls extends CallTable>(entry: URL, returned: WorkerThread<Calls>): void {
  const worker = returned as unknown as WorkerThread<CallTable>;
  if (worker.hasFailed || worker.load > 0) {
    void worker.terminate();
    return;
  }
  const list = idle.get(entry.href) ?? [];
  idle.set(entry.href, list);
  const timer = setTimeout(() => {
    list.splice(list.indexOf(kept), 1);
    void worker.terminate();
  }, lingerMs);
  const kept: IdleWorker = { worker, timer };
  timer.unref();
  list.push(kept);
}
