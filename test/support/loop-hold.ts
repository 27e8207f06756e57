import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/**
 * For how long single turns of this thread's event loop compute, sampled about every millisecond until `stop`. On Linux
 * it is processor time that counts, so that a busy machine, which takes the thread away for a while, is not blamed on
 * the code; elsewhere it is the event loop's delay.
 */
export function watchLoop(): { stop(): { p99: number; longest: number } } {
  if (process.platform !== "linux") {
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    return {
      stop: () => {
        delay.disable();
        return { p99: delay.percentile(99) / 1e6, longest: delay.max / 1e6 };
      },
    };
  }
  const turns: number[] = [];
  let before = threadMilliseconds();
  const timer = setInterval(() => {
    const now = threadMilliseconds();
    turns.push(now - before);
    before = now;
  }, 1);
  return {
    stop: () => {
      clearInterval(timer);
      turns.push(threadMilliseconds() - before);
      turns.sort((a, b) => a - b);
      return { p99: turns[Math.floor(turns.length * 0.99)], longest: turns.at(-1) as number };
    },
  };
}

/** Processor time of the main thread, whose number is the process's. */
function threadMilliseconds(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
}
