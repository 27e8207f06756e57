import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import type { RgbImage } from "../core/image.ts";
import { decodeImage } from "./images.ts";

const folder = mkdtempSync(join(tmpdir(), "florence-images-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** 32×16: the left half red, the right half blue. */
function twoColours(): Sharp {
  const pixels = Buffer.alloc(32 * 16 * 3);
  for (let i = 0; i < 512; i++) pixels.set(i % 32 < 16 ? [255, 0, 0] : [0, 0, 255], i * 3);
  return sharp(pixels, { raw: { width: 32, height: 16, channels: 3 } });
}

function pixel(image: RgbImage, x: number, y: number): number[] {
  return [...image.data.subarray((y * image.width + x) * 3, (y * image.width + x) * 3 + 3)];
}

function expectNear(actual: number[], expected: number[], tolerance: number): void {
  for (const [i, value] of expected.entries())
    expect(Math.abs(actual[i] - value), `${actual}`).toBeLessThanOrEqual(tolerance);
}

function noisePng(width: number, height: number): Promise<Buffer> {
  const pixels = Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => Math.imul(i, 2654435761) >>> 24));
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

describe("decodeImage converts to upright 8-bit RGB", () => {
  it("reads a PNG from a path and from bytes, exactly", async () => {
    const png = await twoColours().png().toBuffer();
    const image = await decodeImage(file("plain.png", png));
    expect([image.width, image.height, image.data.length]).toEqual([32, 16, 1536]);
    expect([pixel(image, 0, 0), pixel(image, 31, 15)]).toEqual([
      [255, 0, 0],
      [0, 0, 255],
    ]);
    expect((await decodeImage(png)).data).toEqual(image.data);
    expect((await decodeImage(new Uint8Array(png))).data).toEqual(image.data);
  });

  it("applies EXIF orientation 6", async () => {
    const jpeg = await twoColours().withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer();
    const image = await decodeImage(file("turned.jpg", jpeg));
    expect([image.width, image.height]).toEqual([16, 32]);
    expectNear(pixel(image, 8, 2), [255, 0, 0], 6); // the left half is now on top
    expectNear(pixel(image, 8, 29), [0, 0, 255], 6);
  });

  it("lays transparency on white", async () => {
    const rgba = Buffer.from([255, 0, 0, 0, 255, 0, 0, 128, 0, 0, 0, 255, 10, 20, 30, 255]);
    const image = await decodeImage(
      await sharp(rgba, { raw: { width: 4, height: 1, channels: 4 } })
        .png()
        .toBuffer(),
    );
    expect(pixel(image, 0, 0)).toEqual([255, 255, 255]);
    expectNear(pixel(image, 1, 0), [255, 127, 127], 1);
    expect([pixel(image, 2, 0), pixel(image, 3, 0)]).toEqual([
      [0, 0, 0],
      [10, 20, 30],
    ]);
  });

  it("repeats grey, with and without transparency", async () => {
    const grey = sharp(Buffer.from([0, 100, 200, 255]), { raw: { width: 2, height: 2, channels: 1 } });
    const image = await decodeImage(await grey.toColourspace("b-w").png().toBuffer());
    expect([...image.data]).toEqual([0, 0, 0, 100, 100, 100, 200, 200, 200, 255, 255, 255]);
    const alpha = sharp(Buffer.from([50, 255, 50, 0]), { raw: { width: 2, height: 1, channels: 2 } });
    expect([...(await decodeImage(await alpha.toColourspace("b-w").png().toBuffer())).data]).toEqual([
      50, 50, 50, 255, 255, 255,
    ]);
  });

  it("reduces 16-bit PNGs, grey, colour and transparent", async () => {
    const grey = new Uint16Array([0, 0x80ff, 0xffff, 0x1234]);
    const png = await sharp(grey, { raw: { width: 4, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe("ushort");
    const decoded = await decodeImage(png);
    expect(decoded.data.length).toBe(12);
    for (const [x, value] of [0, 0x80, 0xff, 0x12].entries())
      expectNear(pixel(decoded, x, 0), [value, value, value], 1);
    const rgba = new Uint16Array([0xffff, 0, 0, 0xffff, 0, 0, 0, 0]);
    const deep = await sharp(rgba, { raw: { width: 2, height: 1, channels: 4 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(deep).metadata()).depth).toBe("ushort");
    expect([...(await decodeImage(deep)).data]).toEqual([255, 0, 0, 255, 255, 255]);
  });

  it("converts a CMYK JPEG", async () => {
    const cmyk = await twoColours().toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe("cmyk");
    const image = await decodeImage(file("print.jpg", cmyk));
    expect(image.data.length).toBe(1536);
    const [red, , blue] = pixel(image, 4, 8);
    expect(red).toBeGreaterThan(150);
    expect(blue).toBeLessThan(100);
    expect(pixel(image, 28, 8)[2]).toBeGreaterThan(pixel(image, 28, 8)[0]);
  });

  it.each(["gif", "webp"] as const)("takes the first frame of an animated %s", async (format) => {
    const frames = Buffer.alloc(8 * 24 * 3); // three 8×8 pages: green, red, blue
    for (let i = 0; i < 192; i++)
      frames.set(
        [
          [0, 255, 0],
          [255, 0, 0],
          [0, 0, 255],
        ][Math.floor(i / 64)],
        i * 3,
      );
    const animated = sharp(frames, { raw: { width: 8, height: 24, channels: 3, pageHeight: 8 } });
    const bytes = await (format === "gif" ? animated.gif() : animated.webp({ lossless: true })).toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(3);
    const image = await decodeImage(bytes);
    expect([image.width, image.height]).toEqual([8, 8]);
    expect(pixel(image, 4, 4)).toEqual([0, 255, 0]);
  });

  it("reads WebP, AVIF, TIFF and SVG", async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"><rect width="9" height="7" fill="#00f"/></svg>';
    expect(pixel(await decodeImage(Buffer.from(svg)), 4, 3)).toEqual([0, 0, 255]);
    for (const bytes of [
      await twoColours().webp({ lossless: true }).toBuffer(),
      await twoColours().tiff({ compression: "lzw" }).toBuffer(),
      await twoColours().avif({ lossless: true }).toBuffer(),
    ]) {
      expectNear(pixel(await decodeImage(bytes), 1, 1), [255, 0, 0], 2);
    }
  });
});

describe("decodeImage refuses, naming the file", () => {
  const cut = (bytes: Buffer, share: number) => bytes.subarray(0, Math.floor(bytes.length * share));
  const cases: [string, string, () => Promise<string>][] = [
    ["a missing file", "not-found", async () => join(folder, "absent.png")],
    ["a folder", "unsupported", async () => mkdtempSync(join(folder, "folder.jpg-"))],
    ["an empty file", "empty", async () => file("empty.png", "")],
    ["a text", "unsupported", async () => file("letter.jpg", "Dear model,\nthis is no picture.\n")],
    ["random bytes", "unsupported", async () => file("bytes.png", Buffer.alloc(500, 0x5a))],
    ["a lone signature", "corrupt", async () => file("start.png", Buffer.from("\x89PNG\r\n", "latin1"))],
    ["a JPEG cut in its header", "corrupt", async () => file("h.jpg", cut(await twoColours().jpeg().toBuffer(), 0.1))],
    [
      "a JPEG cut in the middle",
      "corrupt",
      async () =>
        file(
          "m.jpg",
          cut(
            await sharp(await noisePng(64, 64))
              .jpeg()
              .toBuffer(),
            0.6,
          ),
        ),
    ],
    [
      "a JPEG short of a few bytes",
      "corrupt",
      async () =>
        file(
          "f.jpg",
          cut(
            await sharp(await noisePng(64, 64))
              .jpeg()
              .toBuffer(),
            0.98,
          ),
        ),
    ],
    ["a PNG cut in the middle", "corrupt", async () => file("m.png", cut(await noisePng(64, 64), 0.5))],
    ["a WebP cut in the middle", "corrupt", async () => file("m.webp", cut(await twoColours().webp().toBuffer(), 0.5))],
    ["a TIFF cut in the middle", "corrupt", async () => file("m.tiff", cut(await twoColours().tiff().toBuffer(), 0.5))],
    ["a pixel bomb", "too-large", async () => file("bomb.png", pixelBomb(60_000, 60_000))],
  ];
  it.each(cases)("%s is %s", async (_what, code, make) => {
    const path = await make();
    const error = await decodeImage(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "UserError", code });
    expect((error as Error).message).toContain(path);
    expect((error as Error).message).not.toContain("\n");
  });

  it("states the limit and the size of a picture over it", async () => {
    await expect(decodeImage(await noisePng(20, 10), { maxPixels: 199, name: "upload 3" })).rejects.toThrow(
      /upload 3: must have at most 199 pixels, got 20×10/,
    );
    expect((await decodeImage(await noisePng(20, 10), { maxPixels: 200 })).width).toBe(20);
    await expect(decodeImage(file("long.png", await noisePng(20, 10)), { maxBytes: 50 })).rejects.toMatchObject({
      code: "too-large",
    });
  });

  it.skipIf(process.getuid?.() === 0)("a file it may not read (not checked as root, who may read all)", async () => {
    const path = file("locked.png", await noisePng(4, 4));
    chmodSync(path, 0);
    await expect(decodeImage(path)).rejects.toMatchObject({ code: "unreadable" });
  });

  it.skipIf(process.platform === "win32")("a pipe, without waiting for a writer", async () => {
    const path = join(folder, "pipe.png");
    execFileSync("mkfifo", [path]);
    await expect(decodeImage(path)).rejects.toMatchObject({ code: "unsupported" });
  });
});

/** A valid PNG header that claims a huge size over almost no data. */
function pixelBomb(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", Buffer.alloc(10)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
