import { describe, expect, it } from "vitest";
import { defaultThreads } from "./default-threads.ts";

describe("defaultThreads", () => {
  it("leaves the number to the runtime without a variable", () => {
    expect(defaultThreads({})).toBeUndefined();
    expect(defaultThreads({ FLORENCE_THREADS: "" })).toBeUndefined();
  });

  it("is what FLORENCE_THREADS says", () => {
    expect(defaultThreads({ FLORENCE_THREADS: "3" })).toBe(3);
  });

  it.each(["0", "-1", "2.5", "two", "9999"])("refuses %s", (given) => {
    expect(() => defaultThreads({ FLORENCE_THREADS: given })).toThrow(/FLORENCE_THREADS must be/);
  });
});
