import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { decodeImage } from "./image-decoding.ts";

class FakeBitmap {
  readonly width: number;
  readonly height: number;
  isClosed = false;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
  }

  close(): void {
    this.isClosed = true;
  }
}

describe("decodeImage", () => {
  let made: FakeBitmap[];
  let side: number;
  let getImageData: () => { data: Uint8ClampedArray };

  beforeEach(() => {
    made = [];
    side = 2;
    getImageData = () => ({ data: new Uint8ClampedArray(side * side * 4).fill(7) });
    vi.stubGlobal("createImageBitmap", async () => {
      const bitmap = new FakeBitmap(side, side);
      made.push(bitmap);
      return bitmap;
    });
    class FakeCanvas {
      getContext() {
        return { fillRect: () => undefined, drawImage: () => undefined, getImageData: () => getImageData() };
      }
    }
    vi.stubGlobal("OffscreenCanvas", FakeCanvas);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("closes the bitmap it makes, not the one it is given", async () => {
    const given = new FakeBitmap(2, 2);
    expect(await decodeImage(given as unknown as ImageBitmap)).toMatchObject({ width: 2, height: 2 });
    expect(given.isClosed).toBe(false);
    expect(made).toMatchObject([{ isClosed: true }]);
  });

  it.each([
    ["a picture that is too large", () => (side = 20_000), "too-large"],
    ["a picture of another origin", () => (getImageData = foreign), "unreadable"],
  ])("closes the bitmap of %s", async (_, arrange, code) => {
    arrange();
    await expect(decodeImage(new Blob())).rejects.toMatchObject({ code });
    expect(made).toMatchObject([{ isClosed: true }]);
  });

  it("closes the bitmap of a call that is aborted meanwhile", async () => {
    const controller = new AbortController();
    const call = decodeImage(new Blob(), { signal: controller.signal });
    controller.abort("enough");
    await expect(call).rejects.toBe("enough");
    expect(made).toMatchObject([{ isClosed: true }]);
  });

  it("says what to do about a picture of another origin", async () => {
    getImageData = foreign;
    const message = /^image: must be .* got one from another origin\. Set crossorigin="anonymous" .* CORS headers/;
    await expect(decodeImage(new Blob())).rejects.toThrow(message);
  });

  it("passes other failures of reading on", async () => {
    getImageData = () => {
      throw new RangeError("out of memory");
    };
    await expect(decodeImage(new Blob())).rejects.toThrow(RangeError);
  });
});

function foreign(): never {
  throw new DOMException("The canvas has been tainted by cross-origin data.", "SecurityError");
}
