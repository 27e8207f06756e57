import { describe, expect, it } from "vitest";
import { mul, sum } from "../../src/graph/broadcasting.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { regionAlign } from "../../src/graph/region-pooling.ts";
import { constant, input, type Tensor } from "../../src/graph/tensor.ts";
import { evaluate } from "../support/evaluate.ts";
import { readFixture, relativeError } from "./read-fixture.ts";

describe("regionAlign", () => {
  it("is torchvision's roi_align, with its gradient", async () => {
    const fixture = await readFixture("region-align");
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    const map = input("map", fixture.tensor("map").shape);
    const boxes = input("boxes", fixture.tensor("boxes").shape);
    const output = regionAlign(map, boxes, {
      stride: fixture.json<number>("stride"),
      bins: fixture.json<number>("bins"),
      samples: fixture.json<number>("samples"),
    });
    const { data, shape } = fixture.tensor("cotangent");
    const [gradient] = gradients(sum(mul(output, constant(data as Float32Array, shape))), [map]);
    const results = await evaluate(
      { output, gradient: gradient as Tensor },
      { map: fixture.tensor("map").data, boxes: fixture.tensor("boxes").data },
    );
    expect(relativeError(results.output as Float32Array, fixture.tensor("output").data)).toBeLessThan(
      tolerance.forward,
    );
    const error = relativeError(results.gradient as Float32Array, fixture.tensor("gradient").data);
    expect(error).toBeLessThan(tolerance.gradients);
  });
});
