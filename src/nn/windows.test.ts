import { describe, expect, it } from "vitest";
import { readFixture } from "../../test/parity/read-fixture.ts";
import {
  composeOrders,
  inverseOrder,
  paddedSize,
  relativePositionIndex,
  shiftMask,
  type WindowGrid,
  windowOrder,
} from "./windows.ts";

interface MaskCase extends WindowGrid {
  name: string;
  kind: "mask" | "forbidden pairs per window";
}

const grids: WindowGrid[] = [
  { height: 8, width: 8, window: 4, shift: 0 },
  { height: 8, width: 8, window: 4, shift: 2 },
  { height: 5, width: 7, window: 4, shift: 2 }, // padded on both axes
  { height: 6, width: 9, window: 3, shift: 1 },
  { height: 7, width: 7, window: 7, shift: 0 },
];

/** The tokens of each window by moving a padded map about as Swin does: pad, roll by −shift, cut. */
function windowsByMoving({ height, width, window, shift }: WindowGrid): number[] {
  const rows = Math.ceil(height / window) * window;
  const columns = Math.ceil(width / window) * window;
  const padded = Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => (r < height && c < width ? r * width + c : -1)),
  );
  const rolled = padded.map((_, r) => padded[r].map((_, c) => padded[(r + shift) % rows][(c + shift) % columns]));
  const tokens: number[] = [];
  for (let top = 0; top < rows; top += window) {
    for (let left = 0; left < columns; left += window) {
      for (const row of rolled.slice(top, top + window)) tokens.push(...row.slice(left, left + window));
    }
  }
  return tokens;
}

describe("the window order", () => {
  it.each(grids)("$height×$width, window $window, shift $shift: is pad, roll and cut", (grid) => {
    expect([...windowOrder(grid)]).toEqual(windowsByMoving(grid));
  });

  it.each(grids)("$height×$width, window $window, shift $shift: is undone by its inverse", (grid) => {
    const tokens = grid.height * grid.width;
    const order = windowOrder(grid);
    const identity = composeOrders(order, inverseOrder(order, tokens));
    expect([...identity]).toEqual(Array.from({ length: tokens }, (_, i) => i));
  });

  it("pads up to whole windows", () => {
    expect(paddedSize({ height: 5, width: 8, window: 4, shift: 0 })).toEqual({ height: 8, width: 8 });
  });

  it("composes with places that stay empty", () => {
    expect([...composeOrders(Int32Array.of(4, 5, -1), Int32Array.of(2, -1, 0))]).toEqual([-1, -1, 4]);
  });
});

describe("the shift mask", () => {
  it("is PyTorch's, in full and by counts of forbidden pairs", async () => {
    const fixture = await readFixture("window-masks");
    const cases = fixture.json<MaskCase[]>("cases");
    expect(cases.length).toBe(8);
    for (const { name, kind, ...grid } of cases) {
      const mask = shiftMask(grid);
      const reference = [...fixture.tensor(name).data];
      if (kind === "mask") {
        expect([...mask], name).toEqual(reference);
        continue;
      }
      const perWindow = mask.length / reference.length;
      const counts = reference.map(
        (_, i) => mask.subarray(i * perWindow, (i + 1) * perWindow).filter((value) => value !== 0).length,
      );
      expect(counts, name).toEqual(reference);
    }
  });

  it.each(grids)(
    "$height×$width, window $window, shift $shift: parts tokens that only the roll brought together",
    (grid) => {
      const { window, shift } = grid;
      const padded = paddedSize(grid);
      const area = window * window;
      // Where each place of each window lay before the roll; its neighbours there are true ones.
      const places = windowsByMoving({ ...padded, window, shift });
      const mask = shiftMask(grid);
      expect(mask.length).toBe(places.length * area);
      for (const [i, place] of places.entries()) {
        const start = i - (i % area);
        for (let k = 0; k < area; k++) {
          const other = places[start + k];
          const rows = Math.abs(Math.floor(place / padded.width) - Math.floor(other / padded.width));
          const columns = Math.abs((place % padded.width) - (other % padded.width));
          expect(mask[i * area + k]).toBe(rows < window && columns < window ? 0 : -100);
        }
      }
    },
  );
});

describe("the relative position index", () => {
  it("is PyTorch's", async () => {
    const fixture = await readFixture("window-masks");
    for (const window of [3, 4]) {
      expect([...relativePositionIndex(window)]).toEqual([...fixture.tensor(`position-index-window${window}`).data]);
    }
  });

  it("names the offset from key to query, rows first", () => {
    const window = 5;
    const index = relativePositionIndex(window);
    const side = 2 * window - 1;
    const place = (row: number, column: number) => row * window + column;
    const at = (query: number, key: number) => index[query * window * window + key];
    expect(at(place(2, 2), place(2, 2))).toBe(4 * side + 4); // no offset: the middle of the table
    expect(at(place(4, 0), place(0, 4))).toBe(8 * side + 0); // furthest down and left
    expect(at(place(1, 3), place(2, 1))).toBe(3 * side + 6);
  });
});
