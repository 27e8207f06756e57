import { describe, expect, it } from "vitest";
import { ShapeError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import { input } from "../../graph/tensor.ts";
import { compile } from "../../runtime/program.ts";
import { sigmoidLoss } from "./sigmoid-loss.ts";

const [batch, width, scale, bias] = [5, 4, 8, -6];

describe("sigmoidLoss", () => {
  it.each([
    ["all different", [1n, 2n, 3n, 4n, 5n]],
    ["some equal", [1n, 2n, 1n, 3n, 2n]],
  ])("is −Σ log σ(±score) / B over all pairs, labels %s", async (_which, labels) => {
    const program = await compile({
      outputs: {
        loss: sigmoidLoss(
          input("images", [batch, width]),
          input("texts", [batch, width]),
          input("labels", [batch], "int64"),
          input("scale", []),
          input("bias", []),
        ),
      },
    });
    const rng = new Rng(4);
    const unitRows = () => {
      const rows = Float32Array.from({ length: batch * width }, () => rng.normal());
      return rows.map((value, i) => value / Math.hypot(...rows.subarray(i - (i % width), i - (i % width) + width)));
    };
    const [images, texts] = [unitRows(), unitRows()];
    const { loss } = await program.run({
      images,
      texts,
      labels: BigInt64Array.from(labels),
      scale: Float32Array.of(Math.log(scale)),
      bias: Float32Array.of(bias),
    });
    await program.dispose();
    let expected = 0;
    for (let i = 0; i < batch; i++) {
      for (let j = 0; j < batch; j++) {
        const cosine = Array.from({ length: width }, (_, k) => images[i * width + k] * texts[j * width + k]);
        const score = scale * cosine.reduce((a, b) => a + b, 0) + bias;
        expected -= Math.log(1 / (1 + Math.exp(labels[i] === labels[j] ? -score : score))) / batch;
      }
    }
    expect(Number(loss[0])).toBeCloseTo(expected, 4);
  });

  it("refuses texts of another number", () => {
    const scalar = input("x", []);
    expect(() => sigmoidLoss(input("i", [3, 2]), input("t", [4, 2]), input("l", [3], "int64"), scalar, scalar)).toThrow(
      ShapeError,
    );
  });
});
