import { describe, expect, it } from "vitest";
import { formatDuration, formatProgress, type ProgressOptions, startProgress } from "./progress.ts";

/** A progress line on a stream that remembers, under a clock that is set by hand. */
function started(options: Partial<ProgressOptions> & { isTTY?: boolean; columns?: number }) {
  const { isTTY = false, columns = 200, ...rest } = options;
  const clock = { ms: 0 };
  const written: string[] = [];
  const stream = { isTTY, columns, write: (text: string) => written.push(text) };
  const now = () => clock.ms;
  const progress = startProgress({ label: "train", total: 100, environment: {}, stream, now, ...rest });
  return { progress, clock, written };
}

describe("startProgress", () => {
  it("prints plain lines every five seconds where there is no terminal", () => {
    const { progress, clock, written } = started({ unit: "images" });
    for (let done = 1; done <= 40; done++) {
      clock.ms = done * 250; // 4 images a second
      progress.update(done, { loss: 1 / done });
    }
    progress.stop();
    progress.stop();
    expect(written).toEqual([
      "train  20%  20/100 images  loss 0.0500  4 images/s  20s left\n",
      "train  40%  40/100 images  loss 0.0250  4 images/s  15s left\n",
    ]);
    for (const control of ["\r", "\x1b"]) expect(written.join("")).not.toContain(control);
  });

  it("leaves no line of a short call in a log", () => {
    const { progress, clock, written } = started({});
    for (const ms of [0, 1000, 4999]) {
      clock.ms = ms;
      progress.update(ms / 50);
    }
    progress.note("cat.jpg: corrupt");
    progress.stop();
    expect(written).toEqual(["cat.jpg: corrupt\n"]);
  });

  it("redraws one line on a terminal, at most ten times a second, and ends it", () => {
    const { progress, clock, written } = started({ isTTY: true });
    for (let done = 1; done <= 100; done++) {
      clock.ms = done * 10;
      progress.update(done);
    }
    progress.stop();
    expect(written.length).toBe(10 + 2);
    const redrawn = (text: string) => text.startsWith("\r") && text.endsWith("\x1b[K");
    expect(written.slice(0, -1).every(redrawn)).toBe(true);
    expect(written.at(-2)).toContain("█".repeat(24));
    expect(written.at(-2)).toContain("\x1b[36m");
    expect(written.at(-1)).toBe("\n");
  });

  it("drops colours under NO_COLOR, and the bar under TERM=dumb", () => {
    const plain = started({ isTTY: true, environment: { NO_COLOR: "1" } });
    plain.progress.update(50);
    expect(plain.written.join("")).toContain("█");
    expect(plain.written.join("")).not.toContain("\x1b[3");
    const dumb = started({ isTTY: true, environment: { TERM: "dumb" } });
    dumb.clock.ms = 5000;
    dumb.progress.update(50);
    expect(dumb.written).toEqual(["train  50%  50/100 files  10 files/s  5s left\n"]);
  });

  it("never writes a line wider than the terminal", () => {
    const { progress, written } = started({ isTTY: true, columns: 30, environment: { NO_COLOR: "1" } });
    progress.update(50, { loss: 3.25, accuracy: 0.5 });
    expect(written[0].replace("\r", "").replace("\x1b[K", "").length).toBeLessThan(30);
  });

  it("takes a transient bar off the terminal", () => {
    const { progress, written } = started({ isTTY: true, transient: true });
    progress.update(1);
    progress.stop();
    expect(written.at(-1)).toBe("\r\x1b[K");
  });

  it("prints notes above the bar", () => {
    const { progress, written } = started({ isTTY: true });
    progress.update(1);
    progress.note("cat.jpg: corrupt");
    expect(written[1]).toBe("\r\x1b[Kcat.jpg: corrupt\n");
    expect(written[2]).toMatch(/^\rtrain/);
  });

  it("leaves what an earlier session did out of the rate", () => {
    const { progress, clock, written } = started({ start: 90 });
    clock.ms = 5000;
    progress.update(95);
    expect(written[0]).toContain("1 files/s  5s left");
  });
});

describe("formatProgress", () => {
  it("counts where the total is not known, or is zero", () => {
    const state = { label: "scan", unit: "files", done: 12, rate: 3.456, fields: { skipped: 2, stage: "two" } };
    expect(formatProgress(state, true)).toBe("scan  12 files  skipped 2  stage two  3.46 files/s");
    expect(formatProgress({ ...state, total: 0, done: 0, rate: 0, fields: {} }, true)).toBe("scan  0 files");
  });
});

describe("formatDuration", () => {
  it.each([
    [0.4, "0s"],
    [59.6, "1m 00s"],
    [185, "3m 05s"],
    [7625, "2h 07m"],
    [273600, "3d 04h"],
  ])("%d: %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});
