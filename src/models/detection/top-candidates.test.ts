import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { TopCandidates } from "./top-candidates.ts";

/** By a stable sort of all. */
function expected(scores: readonly number[], count: number, floor: number) {
  const order = [...scores.keys()].filter((i) => (scores[i] as number) > floor);
  order.sort((i, j) => (scores[j] as number) - (scores[i] as number) || i - j);
  return order.slice(0, count);
}

describe("TopCandidates", () => {
  const rng = new Rng("top candidates");
  const many = 3000;
  it.each([
    ["random scores", () => rng.uniform()],
    ["many equal scores", () => rng.int(7)],
    ["all equal scores", () => 1],
    ["rising scores, the worst order", (i: number) => i],
    ["falling scores", (i: number) => -i],
    ["scores that are no numbers among others", (i: number) => (i % 3 ? rng.uniform() : Number.NaN)],
  ])("keeps what a stable sort of all puts first: %s", (_, scoreOf) => {
    const scores = Array.from({ length: many }, (_, i) => scoreOf(i));
    for (const count of [0, 1, 5, 300, many, 2 * many]) {
      for (const floor of [Number.NEGATIVE_INFINITY, 0.25]) {
        const top = new TopCandidates(count, floor);
        for (const [i, score] of scores.entries()) top.add(i, score);
        const found = top.take();
        const order = expected(scores, count, floor);
        expect([...found.indices]).toEqual(order);
        expect([...found.scores]).toEqual(order.map((i) => scores[i]));
      }
    }
  });

  it("raises its floor to the least of the best, which later equal ones do not exceed", () => {
    const top = new TopCandidates(64);
    for (let i = 0; i < 257; i++) top.add(i, i % 256 === 255 ? 2 : 1);
    expect(top.floor).toBe(1);
    top.add(999, 1);
    expect(top.take().indices).not.toContain(999);
  });
});
