import { describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { type Evaluation, minimizeLbfgs } from "./lbfgs.ts";

/** Σ 100 (x[i+1] − x[i]²)² + (1 − x[i])², with its minimum 0 at (1, …, 1). */
async function rosenbrock(x: Float64Array): Promise<Evaluation> {
  let value = 0;
  const gradient = new Float64Array(x.length);
  for (let i = 0; i + 1 < x.length; i++) {
    const [valley, along] = [x[i + 1] - x[i] ** 2, 1 - x[i]];
    value += 100 * valley ** 2 + along ** 2;
    gradient[i] += -400 * x[i] * valley - 2 * along;
    gradient[i + 1] += 200 * valley;
  }
  return { value, gradient };
}

describe("minimizeLbfgs", () => {
  it.each([2, 10, 50])("finds the bottom of Rosenbrock's valley in %d dimensions", async (size) => {
    const start = Float64Array.from({ length: size }, (_, i) => (i % 2 ? 1 : -1.2));
    const result = await minimizeLbfgs(rosenbrock, start, { tolerance: 1e-8 });
    expect(result.stopped).toBe("converged");
    expect(result.largestGradient).toBeLessThanOrEqual(1e-8);
    for (const x of result.position) expect(x).toBeCloseTo(1, 6);
    expect(result.evaluations).toBeLessThan(1.5 * result.iterations + 10);
    expect([...start.slice(0, 2)]).toEqual([-1.2, 1]);
  });

  it("solves a badly scaled quadratic to the solution of its linear system", async () => {
    const rng = new Rng(1);
    const scales = Float64Array.from({ length: 30 }, (_, i) => 10 ** (-1 + i / 10)); // condition number 800
    const target = scales.map(() => rng.normal());
    const quadratic = async (x: Float64Array) => ({
      value: x.reduce((sum, v, i) => sum + (scales[i] * (v - target[i]) ** 2) / 2, 0),
      gradient: x.map((v, i) => scales[i] * (v - target[i])),
    });
    const { position, stopped } = await minimizeLbfgs(quadratic, new Float64Array(30), { tolerance: 1e-9 });
    expect(stopped).toBe("converged");
    position.forEach((x, i) => {
      expect(x).toBeCloseTo(target[i], 4);
    });
  });

  it("goes a long way when the first step is far too short", async () => {
    const wide = async (x: Float64Array) => ({
      value: Math.cosh((x[0] - 5e5) / 1e5),
      gradient: Float64Array.of(Math.sinh((x[0] - 5e5) / 1e5) / 1e5),
    });
    const { position, evaluations } = await minimizeLbfgs(wide, Float64Array.of(0), { tolerance: 1e-12 });
    expect(position[0] / 5e5).toBeCloseTo(1, 5);
    expect(evaluations).toBeLessThan(30);
  });

  it("never rises, and reports every iteration", async () => {
    const values: number[] = [];
    const { iterations } = await minimizeLbfgs(rosenbrock, Float64Array.of(-1.2, 1, 2), {
      onIteration: (iteration, value) => values.push(value) === iteration,
    });
    expect(values).toHaveLength(iterations);
    expect(values).toEqual([...values].sort((a, b) => b - a));
  });

  it("copes with values rounded to float32, by the slopes", async () => {
    const rounded = async (x: Float64Array) => {
      const { value, gradient } = await rosenbrock(x);
      return { value: Math.fround(value + 1000), gradient: Float64Array.from(gradient, Math.fround) };
    };
    const { stopped, position } = await minimizeLbfgs(rounded, Float64Array.of(-1.2, 1), { noise: 6e-8 });
    expect(stopped).toBe("converged");
    expect(position[0]).toBeCloseTo(1, 2);
  });

  it("says why it stopped", async () => {
    const start = Float64Array.of(-1.2, 1);
    expect(await minimizeLbfgs(rosenbrock, start, { maxIterations: 3 })).toMatchObject({
      iterations: 3,
      stopped: "iterations",
    });
    const there = await minimizeLbfgs(rosenbrock, Float64Array.of(1, 1));
    expect(there).toMatchObject({ iterations: 0, evaluations: 1, stopped: "converged" });
    const uphill = async (x: Float64Array) => ({ value: x[0], gradient: Float64Array.of(-1) }); // a wrong gradient
    expect((await minimizeLbfgs(uphill, Float64Array.of(0))).stopped).toBe("precision");
  });

  it("stops when asked to", async () => {
    const controller = new AbortController();
    const onIteration = (iteration: number) => {
      if (iteration === 2) controller.abort(new Error("enough"));
    };
    const run = minimizeLbfgs(rosenbrock, Float64Array.of(-1.2, 1), { signal: controller.signal, onIteration });
    await expect(run).rejects.toThrow("enough");
  });
});
