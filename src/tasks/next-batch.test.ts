import { describe, expect, it } from "vitest";
import { NextBatch } from "./next-batch.ts";

describe("NextBatch", () => {
  it("makes each batch once, ahead if it was told to, and another if another is asked for", async () => {
    const made: number[] = [];
    const batches = new NextBatch((step) => {
      made.push(step);
      return `batch ${step}`;
    });
    expect(await batches.take(3)).toBe("batch 3");
    batches.prepare(4);
    expect(made).toEqual([3, 4]);
    expect(await batches.take(4)).toBe("batch 4");
    expect(made).toEqual([3, 4]);
    batches.prepare(5);
    expect(await batches.take(9)).toBe("batch 9");
    expect(await batches.take(5)).toBe("batch 5");
    expect(made).toEqual([3, 4, 5, 9, 5]);
  });

  it("throws an error when its step comes", async () => {
    const batches = new NextBatch((step) => {
      if (step === 1) throw new Error("no such class");
      return step;
    });
    batches.prepare(1);
    await new Promise((resolve) => setImmediate(resolve));
    await expect(batches.take(1)).rejects.toThrow("no such class");
    expect(await batches.take(2)).toBe(2);
  });
});
