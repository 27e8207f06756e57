import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { PhaseLog } from "./phase-log.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("is silent for two seconds, then says the phase under way and those that follow", () => {
  const lines: string[] = [];
  {
    using phases = new PhaseLog((line) => lines.push(line), "export");
    phases.show("reading");
    phases.show("encoding");
    vi.advanceTimersByTime(1999);
    expect(lines).toEqual([]);
    vi.advanceTimersByTime(1);
    phases.show("checking");
  }
  vi.advanceTimersByTime(10_000);
  expect(lines).toEqual(["export: encoding", "export: checking"]);
});

it("says nothing once its command has ended", () => {
  const lines: string[] = [];
  const phases = new PhaseLog((line) => lines.push(line), "export");
  phases.show("reading");
  phases[Symbol.dispose]();
  vi.advanceTimersByTime(10_000);
  expect(lines).toEqual([]);
});
