import { afterEach, describe, expect, it, vi } from "vitest";
import { planStreams } from "./stream-plan.ts";

const gibibyte = 2 ** 30;
const vitB32 = { imageParameters: 88e6, precision: "float32", memoryBytes: 16 * gibibyte } as const;

afterEach(() => vi.unstubAllEnvs());

describe("planStreams", () => {
  it.each([
    [1, 1, 1, "nothing to share"],
    [2, 2, 1, "a stream a thread"],
    [3, 3, 1, "likewise"],
    [4, 4, 1, "likewise"],
    [5, 1, 5, "no number of streams divides a prime"],
    [6, 3, 2, "evenly rather than most"],
    [8, 4, 2, "four at most"],
    [16, 4, 4, "likewise"],
  ])("gives %i threads %i streams of %i: %s", (threads, streams, each) => {
    expect(planStreams({ ...vitB32, threads })).toEqual({ streams, threads: each });
  });

  it("gives no more than are asked for", () => {
    expect(planStreams({ ...vitB32, threads: 8, streams: 1 })).toEqual({ streams: 1, threads: 8 });
    expect(planStreams({ ...vitB32, threads: 8, streams: 3 })).toEqual({ streams: 2, threads: 4 });
    expect(planStreams({ ...vitB32, threads: 2, streams: 9 })).toEqual({ streams: 2, threads: 1 });
  });

  it("keeps to a third of the memory with the weights of all sessions", () => {
    const on = (gibibytes: number) => planStreams({ ...vitB32, memoryBytes: gibibytes * gibibyte, threads: 4 }).streams;
    expect([2, 4, 8, 12].map(on)).toEqual([1, 1, 2, 4]);
    const bytes = planStreams({ ...vitB32, precision: "int8", memoryBytes: 2 * gibibyte, threads: 4 });
    expect(bytes.streams).toBe(2); // a quarter of the bytes each
  });

  it("gives a large tower one session, on any machine", () => {
    const vitL14 = { imageParameters: 304e6, precision: "float32" } as const;
    expect(planStreams({ ...vitL14, memoryBytes: 4 * gibibyte, threads: 2 }).streams).toBe(1);
    expect(planStreams({ ...vitL14, memoryBytes: 512 * gibibyte, threads: 2 }).streams).toBe(1);
  });

  it("takes the threads of FLORENCE_THREADS where none are given", () => {
    vi.stubEnv("FLORENCE_THREADS", "1");
    expect(planStreams(vitB32)).toEqual({ streams: 1, threads: 1 });
    vi.stubEnv("FLORENCE_THREADS", "4");
    expect(planStreams(vitB32)).toEqual({ streams: 4, threads: 1 });
  });
});
