import { describe, expect, it } from "vitest";
import { Rng } from "../../core/rng.ts";
import { topKAccuracy } from "../../metrics/accuracy.ts";
import { elevenPointMeanAveragePrecision } from "../../metrics/average-precision.ts";
import { scoreRows } from "../score-rows.ts";
import type { SweepPoint } from "./lambda-sweep.ts";
import { fitLinearProbe, type ProbeProgress } from "./linear-probe.ts";

const [dim, classes] = [16, 4];
const centres = Float32Array.from({ length: classes * dim }, (_, i) => Math.sin(3.7 * i));

/** Noisy copies of four centres; three further dimensions are as wrong as they are loud. */
function examples(count: number, seed: number) {
  const rng = new Rng(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const features = Float32Array.from({ length: count * dim }, (_, i) => {
    const [row, d] = [Math.floor(i / dim), i % dim];
    return 0.8 * centres[labels[row] * dim + d] + (d < 3 ? 3 : 0.8) * rng.normal();
  });
  return { features, dim, targets: { kind: "one", labels, classes } as const };
}

const [train, validation, test] = [examples(120, 1), examples(80, 2), examples(400, 3)];
const options = { threads: 1, maxIterations: 100 };

describe("fitLinearProbe", () => {
  it("chooses λ on the validation part, fits on both, and is right on others", async () => {
    const phases = new Set<ProbeProgress["phase"]>();
    const probe = await fitLinearProbe(train, validation, { ...options, onProgress: ({ phase }) => phases.add(phase) });
    expect(probe.validation).toBe("given");
    expect([...phases]).toEqual(["sweep", "fit"]);
    const { lambda, score, tried } = probe.sweep ?? { lambda: 0, score: 0, tried: [] };
    expect(score).toBe(Math.max(...tried.map((point) => point.score)));
    expect(probe.fit.lambda).toBe(lambda);
    const accuracy = topKAccuracy(await scoreRows(test, probe.classifier, options), test.targets.labels, classes);
    expect(accuracy).toBeGreaterThan(0.8); // chance 0.25
    const trainOnly = await fitLinearProbe(train, undefined, { ...options, lambda });
    expect(trainOnly.validation).toBe("none");
    expect(trainOnly.classifier.weights).not.toEqual(probe.classifier.weights);
  });

  it("holds out a share where there is no validation part, and goes on with known points", async () => {
    const points: SweepPoint[] = [];
    const probe = await fitLinearProbe(train, undefined, { ...options, onPoint: (point) => points.push(point) });
    expect(probe.validation).toBe("held out");
    expect(points).toHaveLength(probe.sweep?.tried.length ?? 0);
    const more: SweepPoint[] = [];
    const known = points.slice(0, -1);
    const again = await fitLinearProbe(train, undefined, { ...options, known, onPoint: (point) => more.push(point) });
    expect(more).toEqual(points.slice(-1));
    expect(again.classifier).toEqual(probe.classifier);
  });

  it("asks for validation examples when no class has enough to hold one out", async () => {
    await expect(fitLinearProbe(examples(8, 1), undefined, options)).rejects.toThrow(
      "needs examples to choose lambda on, got none from 8 training examples",
    );
    await expect(fitLinearProbe(train, { ...validation, dim: 8 }, options)).rejects.toThrow("both parts must agree");
  });

  it("learns several labels, judged by mAP", async () => {
    const several = (part: typeof train) => {
      const { labels } = part.targets; // the class, and whether it is one of the first two
      const truth = Uint8Array.from({ length: labels.length * 5 }, (_, i) => {
        const label = labels[Math.floor(i / 5)];
        return i % 5 === 4 ? Number(label < 2) : Number(label === i % 5);
      });
      return { ...part, targets: { kind: "several", truth, classes: 5 } as const };
    };
    const [fitted, judged] = [several(train), several(test)];
    const probe = await fitLinearProbe(fitted, several(validation), options);
    const scores = await scoreRows(judged, probe.classifier, options);
    expect(elevenPointMeanAveragePrecision(scores, judged.targets.truth, 5)).toBeGreaterThan(0.7);
  });
});
