import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { bestBlend, blendLogits } from "./blend.ts";
import type { LogitBlock } from "./class-logits.ts";

const classes = 4;
const rng = new Rng("blend");
const labels = Int32Array.from({ length: 200 }, () => rng.int(classes));

/** Logits in blocks of `size` rows; `strength` is how far the true class stands out of the noise. */
async function* classifier(strength: number, size: number): AsyncGenerator<LogitBlock> {
  const noise = new Rng(`noise ${strength}`);
  for (let start = 0; start < labels.length; start += size) {
    const rows = Math.min(size, labels.length - start);
    yield {
      start,
      logits: Float32Array.from({ length: rows * classes }, (_, i) => {
        const isTrue = i % classes === labels[start + Math.floor(i / classes)];
        return noise.normal() + (isTrue ? strength : 0);
      }),
    };
  }
}

async function accuracy(blocks: AsyncIterable<LogitBlock>): Promise<number> {
  let hits = 0;
  for await (const { start, logits } of blocks) {
    for (let row = 0; row < logits.length / classes; row++) {
      const own = Array.from(logits.subarray(row * classes, (row + 1) * classes));
      if (own.indexOf(Math.max(...own)) === labels[start + row]) hits++;
    }
  }
  return hits / labels.length;
}

describe("bestBlend", () => {
  it("leans on the classifier that knows, whichever it is", async () => {
    const byFirst = await bestBlend(classifier(3, 64), classifier(0, 50), labels, classes);
    expect(byFirst.second).toBeLessThan(0.2);
    expect(byFirst.first).toBeGreaterThan(0.5);
    const bySecond = await bestBlend(classifier(0, 64), classifier(3, 50), labels, classes);
    expect(bySecond.first).toBeLessThan(0.2);
  });

  it("is better than either of two that know different things", async () => {
    const weights = await bestBlend(classifier(1.5, 64), classifier(1.6, 64), labels, classes);
    const blended = await accuracy(blendLogits(classifier(1.5, 64), classifier(1.6, 33), classes, weights));
    expect(blended).toBeGreaterThan((await accuracy(classifier(1.5, 64))) + 0.03);
    expect(blended).toBeGreaterThan((await accuracy(classifier(1.6, 64))) + 0.03);
  });

  it("takes half of each where there is nothing to choose on", async () => {
    async function* nothing(): AsyncGenerator<LogitBlock> {}
    expect(await bestBlend(nothing(), nothing(), new Int32Array(0), classes)).toEqual({ first: 0.5, second: 0.5 });
  });
});
