import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradients.ts";
import { input, type Tensor } from "../../src/graph/tensor.ts";
import { anchorGrid } from "../../src/models/detection/anchors.ts";
import { anchorTargets, assignAnchors } from "../../src/tasks/detection/assignment.ts";
import { detectionLosses, targetInputs } from "../../src/tasks/detection/losses.ts";
import { evaluate } from "../support/evaluate.ts";
import { deterministicFill } from "./deterministic-fill.ts";
import { readFixture, relativeError } from "./read-fixture.ts";

describe("ATSS against PyTorch in float64", async () => {
  const fixture = await readFixture("atss");
  const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
  const strides = fixture.json<number[]>("strides");
  const sizes = fixture.json<[number, number][]>("sizes");
  const labels = fixture.json<number[][]>("labels");
  const classes = fixture.json<number>("classes");
  const grid = anchorGrid(sizes.map(([height, width], i) => ({ stride: strides[i] as number, height, width })));
  const boxesOf = (image: number): Float32Array => fixture.tensor(`objects.${image}`).data as Float32Array;

  it("assigns the same anchors to the same objects", () => {
    const owners = [0, 1].flatMap((image) => [...assignAnchors(grid, boxesOf(image))]);
    expect(owners).toEqual([...fixture.tensor("owners").data]);
    expect(owners.filter((owner) => owner >= 0).length).toBeGreaterThan(20);
  });

  it("has its losses and their gradients", async () => {
    const perImage = [0, 1].map((image) =>
      anchorTargets(grid, { boxesXyxy: boxesOf(image), classes: Int32Array.from(labels[image] as number[]) }),
    );
    const centerness = Float32Array.from(perImage.flatMap((targets) => [...targets.centerness]));
    expect(relativeError(centerness, fixture.tensor("centernessTargets").data)).toBeLessThan(1e-6);

    const shape = [2, grid.count];
    const outputs = {
      logits: input("outputs/logits", [...shape, classes]),
      deltas: input("outputs/deltas", [...shape, 4]),
      centerness: input("outputs/centerness", shape),
    };
    const losses = detectionLosses(outputs, targetInputs(2, grid.count), grid);
    const names = ["logits", "deltas", "centerness"] as const;
    const found = gradients(
      losses.total,
      names.map((name) => outputs[name]),
    );
    const results = await evaluate(
      { ...losses, ...Object.fromEntries(names.map((name, i) => [`gradients.${name}`, found[i] as Tensor])) },
      {
        "outputs/logits": deterministicFill("logits", outputs.logits.size, -1, 1.5),
        "outputs/deltas": deterministicFill("deltas", outputs.deltas.size, 0, 3),
        "outputs/centerness": deterministicFill("centerness", outputs.centerness.size),
        "targets/classes": Int32Array.from(perImage.flatMap((targets) => [...targets.classes])),
        "targets/boxes": Float32Array.from(perImage.flatMap((targets) => [...targets.boxesXyxy])),
        "targets/centerness": centerness,
        "targets/positives": Float32Array.of(
          perImage.flatMap(({ classes: ids }) => [...ids]).filter((id) => id >= 0).length,
        ),
        "targets/centernessSum": Float32Array.of(centerness.reduce((total, value) => total + value, 0)),
      },
    );
    const parts = [results.total, results.classification, results.boxes, results.centerness];
    for (const [i, part] of parts.entries()) {
      const reference = [fixture.tensor("losses").data[i]];
      expect(relativeError(part as Float32Array, reference)).toBeLessThan(tolerance.forward);
    }
    for (const name of names) {
      const error = relativeError(
        results[`gradients.${name}`] as Float32Array,
        fixture.tensor(`gradients.${name}`).data,
      );
      expect(error, name).toBeLessThan(tolerance.gradients);
    }
  });
});
