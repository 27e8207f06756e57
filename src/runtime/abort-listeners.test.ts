import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { onAbort } from "./abort-listeners.ts";

it("calls each callback once, but those that were taken back, with one listener on the signal", () => {
  const controller = new AbortController();
  const called: number[] = [];
  const takeBack = Array.from({ length: 50 }, (_, i) => onAbort(controller.signal, () => called.push(i)));
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
  for (const [i, take] of takeBack.entries()) if (i % 2 === 1) take();
  controller.abort();
  controller.abort();
  expect(called).toEqual(Array.from({ length: 25 }, (_, i) => 2 * i));
});

it("goes on to take callbacks after all were taken back, and takes none without a signal", () => {
  const controller = new AbortController();
  onAbort(controller.signal, () => undefined)();
  let isCalled = false;
  onAbort(controller.signal, () => {
    isCalled = true;
  });
  controller.abort();
  expect(isCalled).toBe(true);
  expect(onAbort(undefined, () => undefined)()).toBeUndefined();
});
