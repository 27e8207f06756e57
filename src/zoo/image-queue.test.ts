import { describe, expect, it } from "vitest";
import type { PreparedImage } from "../core/image.ts";
import { ImageQueue, type ImageSession } from "./image-queue.ts";
import type { ImagesPayload } from "./image-run.ts";

/** A picture of one pixel, which says which it is. */
const picture = (number: number): PreparedImage => ({ side: 1, data: Uint8Array.of(number, 0, 0) });
const pictures = (count: number, from = 0) => Array.from({ length: count }, (_, i) => picture(from + i));

interface FakeOptions {
  /** Milliseconds until a run is answered. */
  readonly wait?: (payload: ImagesPayload) => number;
  /** What a session says that a picture took. */
  readonly millisecondsPerImage?: number;
  readonly fails?: (payload: ImagesPayload) => boolean;
}

/** Sessions whose embedding of a picture is its number. */
function fakeSessions(count: number, { wait = () => 0, millisecondsPerImage = 30, fails }: FakeOptions = {}) {
  const runs: { readonly session: number; readonly numbers: number[] }[] = [];
  const released: number[] = [];
  const sessions = Array.from({ length: count }, (_, session): ImageSession => {
    return {
      hasFailed: false,
      async images(payload, { signal }) {
        const numbers = Array.from({ length: payload.count }, (_, i) => payload.pixels[i * 3]);
        runs.push({ session, numbers });
        await new Promise<void>((resolve, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason));
          setTimeout(resolve, wait(payload));
        });
        if (fails?.(payload)) throw new Error("the session failed");
        return { matrix: Float32Array.from(numbers), milliseconds: millisecondsPerImage * payload.count };
      },
      release: async () => void released.push(session),
    };
  });
  async function* start(): AsyncGenerator<ImageSession> {
    yield* sessions;
  }
  return { queue: new ImageQueue({ name: "tiny", side: 1, sessions: count, start }), runs, released };
}

function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((open) => {
    resolve = open;
  });
  return { promise, resolve };
}

const numbersOf = (rows: readonly Float32Array[]): number[] => rows.map(([number]) => number);

describe("ImageQueue", () => {
  it("gives rows in the order of the pictures, whichever session is done first", async () => {
    const { queue, runs } = fakeSessions(3, { wait: ({ pixels }) => (pixels[0] * 7) % 11 });
    const rows = await queue.encode(pictures(100), "embedding");
    expect(numbersOf(rows)).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(new Set(runs.map(({ session }) => session)).size).toBe(3);
    expect(await queue.encode([], "embedding")).toEqual([]);
  });

  it("sizes runs to 400 ms, after small first ones, and shares a call out evenly", async () => {
    const { queue, runs } = fakeSessions(2, { millisecondsPerImage: 40 });
    await queue.encode(pictures(4), "embedding");
    expect(runs.map(({ numbers }) => numbers.length)).toEqual([2, 2]);
    runs.length = 0;
    await queue.encode(pictures(24), "embedding");
    expect(runs.map(({ numbers }) => numbers.length)).toEqual([6, 6, 6, 6]); // rather than 10, 10 and 4
    runs.length = 0;
    await queue.encode(pictures(3), "embedding");
    expect(runs.map(({ numbers }) => numbers.length)).toEqual([2, 1]);
  });

  it("lets a small call overtake a large one", async () => {
    const { queue } = fakeSessions(1, { wait: () => 1 });
    const done: string[] = [];
    await Promise.all([
      queue.encode(pictures(50), "embedding").then(() => done.push("large")),
      queue.encode(pictures(1), "embedding").then(() => done.push("small")),
    ]);
    expect(done).toEqual(["small", "large"]);
    expect(queue.isBusy).toBe(false);
  });

  it("starts its sessions at the first call, once, and again if that failed, and uses the first before the second is there", async () => {
    const { promise: secondMay, resolve: letSecond } = gate();
    const released: number[] = [];
    let starts = 0;
    const session = (number: number): ImageSession => ({
      hasFailed: false,
      images: async ({ count }) => ({ matrix: new Float32Array(count).fill(number), milliseconds: 1 }),
      release: async () => void released.push(number),
    });
    async function* start(): AsyncGenerator<ImageSession> {
      yield session(++starts);
      if (starts === 1) throw new Error("no memory");
      await secondMay;
      yield session(-starts);
    }
    const queue = new ImageQueue({ name: "tiny", side: 1, sessions: 2, start });
    expect(starts).toBe(0);
    await expect(queue.encode(pictures(50), "embedding")).rejects.toThrow("no memory");
    const [rows] = await Promise.all([queue.encode(pictures(50), "embedding"), queue.encode(pictures(1), "embedding")]);
    expect(numbersOf(rows)).toEqual(Array(50).fill(2));
    letSecond();
    await queue.dispose();
    expect([starts, released]).toEqual([2, [1, 2, -2]]);
  });

  it("rejects a call at once when it is aborted, begins with no more of it, and goes on with others", async () => {
    const { queue, runs } = fakeSessions(2, { wait: () => 5 });
    const controller = new AbortController();
    const reason = new Error("enough");
    const call = queue.encode(pictures(100), "embedding", { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 12);
    await expect(call).rejects.toBe(reason);
    const begun = runs.length;
    expect(numbersOf(await queue.encode(pictures(3, 200), "embedding"))).toEqual([200, 201, 202]);
    expect(runs.slice(begun).every(({ numbers }) => numbers.every((number) => number >= 200))).toBe(true);
    await expect(queue.encode(pictures(1), "embedding", { signal: controller.signal })).rejects.toBe(reason);
  });

  it("rejects the call of a run that fails, and no other", async () => {
    const { queue, runs } = fakeSessions(2, { wait: () => 1, fails: ({ pixels }) => pixels[0] >= 100 });
    const failing = queue.encode(pictures(40, 100), "embedding");
    const other = queue.encode(pictures(20), "embedding");
    await expect(failing).rejects.toThrow("the session failed");
    expect(numbersOf(await other)).toHaveLength(20);
    expect(runs.filter(({ numbers }) => numbers[0] >= 100).length).toBeLessThanOrEqual(2);
    expect(queue.isBusy).toBe(false);
  });

  it("does not let small calls, one after the other, hold up a large one for ever", async () => {
    const { queue, runs } = fakeSessions(1);
    await queue.encode(pictures(32), "embedding");
    runs.length = 0;
    let isDone = false;
    const large = queue.encode(pictures(60, 100), "embedding").then(() => {
      isDone = true;
    });
    const small = async () => {
      while (!isDone) await queue.encode(pictures(1), "embedding");
    };
    await Promise.all([large, small(), small()]);
    const ofLarge = runs.findLastIndex(({ numbers }) => numbers[0] >= 100);
    expect(ofLarge).toBeLessThanOrEqual(4 * Math.ceil(60 / 12));
    expect(runs.filter(({ numbers }) => numbers[0] < 100).length).toBeGreaterThan(10);
  });

  it("goes on without a session whose thread ended, and starts anew when none is left", async () => {
    const released: number[] = [];
    const dead = new Set<number>();
    let made = 0;
    const session = (number: number): ImageSession => ({
      get hasFailed() {
        return dead.has(number);
      },
      async images({ count }) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (dead.has(number)) throw new Error(`thread ${number} ended early`);
        return { matrix: new Float32Array(count).fill(number), milliseconds: 40 * count };
      },
      release: async () => void released.push(number),
    });
    async function* start(): AsyncGenerator<ImageSession> {
      yield session(++made);
      yield session(++made);
    }
    const queue = new ImageQueue({ name: "tiny", side: 1, sessions: 2, start });
    expect(new Set(numbersOf(await queue.encode(pictures(20), "embedding")))).toEqual(new Set([1, 2]));
    const hit = queue.encode(pictures(20), "embedding");
    dead.add(1);
    await expect(hit).rejects.toThrow("thread 1 ended early");
    expect(new Set(numbersOf(await queue.encode(pictures(20), "embedding")))).toEqual(new Set([2]));
    dead.add(2); // while nothing is under way
    expect(new Set(numbersOf(await queue.encode(pictures(20), "embedding")))).toEqual(new Set([3, 4]));
    await queue.dispose();
    expect(released).toEqual([1, 2, 3, 4]);
  });

  it("refuses pictures of another size", async () => {
    const { queue } = fakeSessions(1);
    const wrong = { side: 2, data: new Uint8Array(12) };
    await expect(queue.encode([picture(0), wrong], "embedding")).rejects.toThrow(
      "tiny: pictures must be prepared to 1 pixels, got 2",
    );
  });

  it("rejects what is under way when it is disposed, and releases each session once", async () => {
    const { queue, released } = fakeSessions(2, { wait: () => 5 });
    const call = queue.encode(pictures(100), "embedding");
    const rejected = expect(call).rejects.toThrow("must not be used after dispose()");
    await queue.dispose();
    await rejected;
    expect(released.sort()).toEqual([0, 1]);
    await expect(queue.encode(pictures(1), "embedding")).rejects.toThrow("must not be used after dispose()");
  });
});
