import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { CliHost } from "./program.ts";
import { StderrDisplay } from "./progress.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

function display(isTTY: boolean): { readonly shown: StderrDisplay; readonly lines: string[] } {
  const lines: string[] = [];
  const stderr = { write: (text: string) => lines.push(text) };
  const host = { stdout: { isTTY }, stderr, environment: {} } as unknown as CliHost;
  return { shown: new StderrDisplay(host), lines };
}

it("shows share, rate and time left once it is known how many there are", () => {
  const { shown, lines } = display(false);
  const progress = shown.progress("embed");
  for (let done = 1; done <= 8; done++) {
    vi.advanceTimersByTime(1000);
    if (done === 4) progress.expect(1000);
    progress.update(10 * done);
  }
  expect(lines).toEqual(["embed   7%  70/1000 pictures  10 pictures/s  1m 33s left\n"]);
});

it("keeps away from a terminal that the results are printed to", () => {
  const { shown, lines } = display(true);
  const progress = shown.progress("embed");
  progress.expect(10);
  vi.advanceTimersByTime(10_000);
  progress.update(5);
  progress.stop();
  expect(lines).toEqual([]);
});
