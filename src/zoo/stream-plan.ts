import { availableParallelism, totalmem } from "node:os";
import type { Precision } from "../core/precision.ts";
import { defaultThreads } from "../runtime/default-threads.ts";

/** How many sessions of an image tower compute side by side, and in how many threads each. */
export interface StreamPlan {
  readonly streams: number;
  readonly threads: number;
}

export interface StreamNeeds {
  /** Values in the image tower's weights. */
  readonly imageParameters: number;
  readonly precision: Precision;
  /** To be used in all: as `FLORENCE_THREADS` says, or all processors, if left out. */
  readonly threads?: number | undefined;
  /** Most streams that the caller wants; 1 for none beside the one session. */
  readonly streams?: number | undefined;
  /** Bytes that the process may use; the machine's, or its container's, if left out. */
  readonly memoryBytes?: number | undefined;
}

const mostStreams = 4;
/**
 * One picture of a larger tower takes one thread so long that an abort would wait for it, and its operators are so large
 * that threads lose little where they meet.
 */
const mostParameters = 128e6;
/** Of the memory, for all streams and the session for single pictures. */
const memoryShare = 1 / 3;
/** A session was seen to take so many times the bytes of its weights: it packs them, and what it read is not all given back. */
const bytesPerWeightByte = 2;

/**
 * As many streams as divide the threads evenly, four at most; one where the weights of so many, each with a copy of its
 * own, would be much beside the memory, or the tower is too large for one thread.
 */
export function planStreams(needs: StreamNeeds): StreamPlan {
  const { imageParameters, precision, memoryBytes = usableMemory() } = needs;
  const threads = needs.threads ?? defaultThreads() ?? availableParallelism();
  const bytes = imageParameters * (precision === "int8" ? 1 : 4);
  const fits = (streams: number) => (streams + 1) * bytesPerWeightByte * bytes <= memoryBytes * memoryShare;
  let streams =
    imageParameters > mostParameters ? 1 : Math.min(mostStreams, Math.max(1, needs.streams ?? mostStreams), threads);
  while (streams > 1 && (threads % streams > 0 || !fits(streams))) streams--;
  return { streams, threads: threads / streams };
}

/** The machine's memory, or less of it where a container's limit says so. */
function usableMemory(): number {
  const limit = process.constrainedMemory();
  return limit ? Math.min(limit, totalmem()) : totalmem();
}
