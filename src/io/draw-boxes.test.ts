import { describe, expect, it } from "vitest";
import { rgbImage } from "../core/image.ts";
import { boxesSvg, classColour, drawBoxes } from "./draw-boxes.ts";
import { decodeImage } from "./images.ts";

const hex = (r: number, g: number, b: number) => `#${[r, g, b].map((v) => v.toString(16).padStart(2, "0")).join("")}`;

describe("drawBoxes", () => {
  it("draws frames in the class's colour along the edges, and touches nothing else", async () => {
    const image = rgbImage(200, 150);
    image.data.fill(20);
    const boxes = [
      { box: [50, 60, 150, 130] as const, label: "", class: 1 },
      { box: [10, 10, 40, 40] as const, label: "", class: 4 },
    ];
    const drawn = await decodeImage(await drawBoxes(image, boxes, "png"));
    expect([drawn.width, drawn.height]).toEqual([200, 150]);
    const pixel = (x: number, y: number) => drawn.data.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3);
    const near = (x: number, y: number, colour: string) => {
      const wanted = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
      return Math.max(...wanted.map((value, c) => Math.abs(value - pixel(x, y)[c])));
    };
    for (const [x, y] of [
      [50, 90],
      [149, 90],
      [100, 60],
      [100, 129],
    ])
      expect(near(x, y, classColour(1))).toBeLessThan(90);
    expect(near(25, 10, classColour(4))).toBeLessThan(90);
    for (const [x, y] of [
      [100, 90],
      [25, 25],
      [180, 20],
    ])
      expect(hex(...(pixel(x, y) as unknown as [number, number, number]))).toBe("#141414");
  });

  it("writes labels with scores, safely, within the picture", () => {
    const svg = boxesSvg(100, 100, [
      { box: [90, 0, 100, 10], label: 'a <b> & "c"', class: 0, score: 0.876 },
      { box: [0, 0, 100, 100], label: "large", class: 1, dashed: true },
    ]);
    expect(svg).toContain("a &lt;b&gt; &amp; &quot;c&quot; 0.88");
    expect(svg.indexOf("large")).toBeLessThan(svg.indexOf("a &lt;")); // the small one lies above
    expect(svg.match(/stroke-dasharray/g)?.length).toBe(1);
    for (const [, x, width] of svg.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="\d+" fill="#/g)) {
      if (Number(width) < 100) expect(Number(x) + Number(width)).toBeLessThanOrEqual(100);
    }
    expect(classColour(0)).toBe(classColour(12));
    expect(new Set(Array.from({ length: 12 }, (_, i) => classColour(i))).size).toBe(12);
  });
});
