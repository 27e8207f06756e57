import { describe, expect, it } from "vitest";
import { rgbImage } from "../../core/image.ts";
import { PADDING_GREY, placeBox, restoreBox } from "./boxed-picture.ts";
import { letterboxImage } from "./letterboxed-image.ts";

describe("letterboxImage", () => {
  const image = rgbImage(120, 50);
  image.data.fill(200);

  it.each([
    { padding: "square", canvas: [64, 64] },
    { padding: "stride", canvas: [64, 32] },
  ] as const)("fits a picture into a $padding canvas, the whole of it to be seen", ({ padding, canvas }) => {
    const boxed = letterboxImage(image, { side: 64, padding, stride: 16 });
    expect([boxed.width, boxed.height]).toEqual(canvas);
    expect(boxed.data).toHaveLength(canvas[0] * canvas[1] * 3);
    const whole = placeBox([0, 0, 120, 50], boxed.placement);
    expect(whole[2] - whole[0]).toBe(64);
    expect(whole[3] - whole[1]).toBe(27); // 50 · 64 / 120, rounded
    const rows = Array.from({ length: boxed.height }, (_, y) => boxed.data[y * boxed.width * 3]);
    expect(rows.filter((value) => value === 200)).toHaveLength(27);
    expect(rows.filter((value) => value === PADDING_GREY)).toHaveLength(boxed.height - 27);
    const box = [10, 5, 70, 45] as const;
    const back = restoreBox(placeBox(box, boxed.placement), boxed.placement, { width: 120, height: 50 });
    for (const [i, edge] of back.entries()) expect(edge).toBeCloseTo(box[i] as number, 9);
  });

  it("keeps the original where it is wanted, and takes a strip of one pixel", () => {
    const config = { side: 64, padding: "stride", stride: 16 } as const;
    expect(letterboxImage(image, config)).not.toHaveProperty("originalData");
    expect(letterboxImage(image, config, true).originalData).toBe(image.data);
    const strip = letterboxImage(rgbImage(1, 900), config);
    expect([strip.width, strip.height]).toEqual([16, 64]);
  });
});
