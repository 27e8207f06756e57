import type { Box } from "../../core/boxes.ts";

/** A mask as COCO writes it uncompressed: lengths of runs of 0 and 1 in turn, columns one after the other. */
export interface RunLengths {
  readonly size: readonly [height: number, width: number];
  readonly counts: readonly number[];
}

/** The run lengths of a mask [height, width], set where `isSet` of the pixel's place says so. */
export function runLengths(width: number, height: number, isSet: (at: number) => boolean): RunLengths {
  const counts: number[] = [];
  let value = false;
  let run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (isSet(y * width + x) !== value) {
        counts.push(run);
        run = 0;
        value = !value;
      }
      run++;
    }
  }
  counts.push(run);
  return { size: [height, width], counts };
}

/** Area and bounds of a mask, in pixels; undefined for an empty one. */
export function maskBounds({ size: [height], counts }: RunLengths): { box: Box; area: number } | undefined {
  let [x0, y0, x1, y1] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0];
  let [at, area] = [0, 0];
  for (const [i, run] of counts.entries()) {
    if (i % 2 === 1 && run > 0) {
      const [first, last] = [Math.floor(at / height), Math.floor((at + run - 1) / height)];
      const isWithinColumn = first === last;
      [x0, x1] = [Math.min(x0, first), Math.max(x1, last + 1)];
      y0 = Math.min(y0, isWithinColumn ? at % height : 0); // a run over a column's end touches both edges
      y1 = Math.max(y1, isWithinColumn ? ((at + run - 1) % height) + 1 : height);
      area += run;
    }
    at += run;
  }
  return area > 0 ? { box: [x0, y0, x1, y1], area } : undefined;
}
