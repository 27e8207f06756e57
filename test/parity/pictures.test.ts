import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { decodeImage } from "../../src/io/images.ts";

interface Expected {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly pixels: string; // RGB, base64
}

const folder = new URL("../fixtures/pictures/", import.meta.url);
const pictures: Expected[] = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")).pictures;

/** Levels: what transparency is laid on white by rounds otherwise than Pillow's compositing. All else is exact. */
const tolerance = (name: string): number => (/alpha|rgba/.test(name) ? 1 : 0);

describe("pictures of every format are what Pillow makes of them", () => {
  it("has all the formats", () => expect(pictures.length).toBe(36));

  it.each(pictures)("$name", async ({ name, width, height, pixels }) => {
    const expected = Buffer.from(pixels, "base64");
    const image = await decodeImage(fileURLToPath(new URL(name, folder)));
    expect([image.width, image.height]).toEqual([width, height]);
    const worst = image.data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(worst).toBeLessThanOrEqual(tolerance(name));
  });
});
