import { describe, expect, it } from "vitest";
import { evaluate } from "../../test/support/evaluate.ts";
import { input } from "../graph/tensor.ts";
import { TokenMap } from "./token-map.ts";
import { windowOrder } from "./windows.ts";

const [height, width] = [4, 6];
const count = height * width;
const rowMajor = Array.from({ length: count }, (_, i) => i);
const tokens = input("tokens", [1, count, 1]);
const feeds = { tokens: Float32Array.from(rowMajor) };
const map = new TokenMap(tokens, height, width);
const windows = windowOrder({ height, width, window: 2, shift: 0 });
const shifted = windowOrder({ height, width, window: 2, shift: 1 });

describe("TokenMap", () => {
  it("stands in the order it was moved into, from any other", async () => {
    const maps = {
      windows: map.inOrder(windows),
      shifted: map.inOrder(windows).inOrder(shifted),
      back: map.inOrder(windows).inOrder(shifted).inOrder(),
    };
    const found = await evaluate(
      Object.fromEntries(Object.entries(maps).map(([name, { tokens: moved }]) => [name, moved])),
      feeds,
    );
    expect([...found.windows]).toEqual([...windows]);
    expect([...found.shifted]).toEqual([...shifted]);
    expect([...found.back]).toEqual(rowMajor);
    expect(maps.back.order).toBeUndefined();
    expect(maps.shifted.order).toBe(shifted);
  });

  it("moves nothing where it stands already", () => {
    expect(map.inOrder()).toBe(map);
    const inWindows = map.inOrder(windows);
    expect(inWindows.inOrder(windows).tokens).toBe(inWindows.tokens);
  });

  it("keeps its order with other tokens", () => {
    const others = input("others", [1, count, 3]);
    const changed = map.inOrder(windows).with(others);
    expect(changed.tokens).toBe(others);
    expect([changed.height, changed.width, changed.order]).toEqual([height, width, windows]);
  });

  it("refuses tokens that do not make its map", () => {
    expect(() => new TokenMap(tokens, 5, 6)).toThrow("TokenMap: tokens must be [B, 5·6, C], got [1, 24, 1]");
  });
});
