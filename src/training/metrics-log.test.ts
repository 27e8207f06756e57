import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MetricsLog, readMetrics } from "./metrics-log.ts";

let path = "";
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), "florence-metrics-")), "run", "metrics.jsonl");
});
afterEach(() => rm(join(path, "..", ".."), { recursive: true }));

async function log(resumedStep: number, from: number, to: number): Promise<void> {
  const metrics = await MetricsLog.open(path, resumedStep);
  for (let step = from; step <= to; step++) {
    metrics.append({ step, loss: 1 / step });
    if (step % 5 === 0) metrics.append({ step, validation: step / 100 });
  }
  metrics.close();
}

describe("MetricsLog", () => {
  it("after a kill and a resume equals the log of an unbroken run", async () => {
    await log(0, 1, 20);
    const unbroken = await readFile(path, "utf8");
    expect(unbroken.split("\n").length).toBe(20 + 4 + 1);
    await log(0, 1, 13);
    await appendFile(path, '{"step":14,"lo');
    await log(10, 11, 20);
    expect(await readFile(path, "utf8")).toBe(unbroken);
  });

  it("starts empty for a new run", async () => {
    await log(0, 1, 3);
    await log(0, 1, 2);
    expect(await readMetrics(path)).toEqual([
      { step: 1, loss: 1 },
      { step: 2, loss: 0.5 },
    ]);
  });

  it("keeps losses that are no finite numbers", async () => {
    const metrics = await MetricsLog.open(path, 0);
    metrics.append({ step: 1, loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY, stage: "templated" });
    metrics.close();
    const expected = { step: 1, loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY, stage: "templated" };
    expect(await readMetrics(path)).toEqual([expected]);
  });
});

describe("readMetrics", () => {
  it("gives nothing for a missing file and names a broken line", async () => {
    expect(await readMetrics(path)).toEqual([]);
    await (await MetricsLog.open(path, 0)).close();
    await writeFile(path, '{"step":1}\n{"loss":2}\n{"step":3}\n');
    await expect(readMetrics(path)).rejects.toThrow('metrics.jsonl:2: must be a JSON object with a "step"');
  });
});
