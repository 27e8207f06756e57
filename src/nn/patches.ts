/** A sliding square kernel over a map with zero padding all round. */
export interface PatchGrid {
  height: number;
  width: number;
  kernel: number;
  stride: number;
  padding: number;
}

/** Rows and columns of patches: ⌊(size + 2·padding − kernel) / stride⌋ + 1. */
export function patchMapSize({ height, width, kernel, stride, padding }: PatchGrid): { height: number; width: number } {
  const places = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return { height: places(height), width: places(width) };
}

/** Row-major source pixel of every kernel element of every patch, −1 in the padding; [patches · kernel²]. */
export function patchIndices(grid: PatchGrid): Int32Array {
  const { kernel, stride, padding } = grid;
  const map = patchMapSize(grid);
  const indices = new Int32Array(map.height * map.width * kernel * kernel);
  let place = 0;
  for (let r = 0; r < map.height; r++) {
    for (let c = 0; c < map.width; c++) {
      for (let i = 0; i < kernel; i++) {
        for (let j = 0; j < kernel; j++) {
          const row = r * stride - padding + i;
          const column = c * stride - padding + j;
          const inside = row >= 0 && row < grid.height && column >= 0 && column < grid.width;
          indices[place++] = inside ? row * grid.width + column : -1;
        }
      }
    }
  }
  return indices;
}
