/** How a token map is cut into square windows: rows and columns padded at the end, rolled by `shift` first. */
export interface WindowGrid {
  height: number;
  width: number;
  window: number;
  shift: number;
}

/** Rows and columns after padding up to whole windows. */
export function paddedSize({ height, width, window }: WindowGrid): { height: number; width: number } {
  return { height: Math.ceil(height / window) * window, width: Math.ceil(width / window) * window };
}

/**
 * The row-major token of the map at each place of the window order (window by window, row-major within); −1 for
 * padding. Length: the padded map's.
 */
export function windowOrder(grid: WindowGrid): Int32Array {
  const { window, shift } = grid;
  const padded = paddedSize(grid);
  const order = new Int32Array(padded.height * padded.width);
  let place = 0;
  for (let top = 0; top < padded.height; top += window) {
    for (let left = 0; left < padded.width; left += window) {
      for (let r = top; r < top + window; r++) {
        for (let c = left; c < left + window; c++) {
          const row = (r + shift) % padded.height;
          const column = (c + shift) % padded.width;
          order[place++] = row < grid.height && column < grid.width ? row * grid.width + column : -1;
        }
      }
    }
  }
  return order;
}

/** The place at which each token of the map stands in `order`; what undoes the order. */
export function inverseOrder(order: Int32Array, tokens: number): Int32Array {
  const inverse = new Int32Array(tokens);
  for (let place = 0; place < order.length; place++) {
    const token = order[place];
    if (token >= 0) inverse[token] = place;
  }
  return inverse;
}

/** `first` followed by `second`: places of the result pick from places that picked from tokens. */
export function composeOrders(first: Int32Array, second: Int32Array): Int32Array {
  return second.map((place) => (place < 0 ? -1 : first[place]));
}

/**
 * Which pairs of a shifted window are neighbours only through the roll: −100 for those, else 0. The rolled map is
 * divided at the last window and at the last `shift` rows and columns, and only equal regions may attend.
 *
 * @returns  [windows, w², w²] flattened
 */
export function shiftMask(grid: WindowGrid): Float32Array {
  const { window, shift } = grid;
  const padded = paddedSize(grid);
  const band = (at: number, size: number): number => (at < size - window ? 0 : at < size - shift ? 1 : 2);
  const regions: number[] = [];
  for (let top = 0; top < padded.height; top += window) {
    for (let left = 0; left < padded.width; left += window) {
      for (let r = top; r < top + window; r++) {
        for (let c = left; c < left + window; c++) regions.push(3 * band(r, padded.height) + band(c, padded.width));
      }
    }
  }
  const tokens = window * window;
  const mask = new Float32Array(regions.length * tokens);
  for (let place = 0; place < regions.length; place++) {
    const start = place - (place % tokens);
    for (let other = 0; other < tokens; other++) {
      mask[place * tokens + other] = regions[place] === regions[start + other] ? 0 : -100;
    }
  }
  return mask;
}

/** For each (query, key) pair of a window the row of its relative offset in the position-bias table; [w²·w²]. */
export function relativePositionIndex(window: number): Int32Array {
  const tokens = window * window;
  const side = 2 * window - 1;
  const index = new Int32Array(tokens * tokens);
  for (let q = 0; q < tokens; q++) {
    for (let k = 0; k < tokens; k++) {
      const rows = Math.floor(q / window) - Math.floor(k / window) + window - 1;
      const columns = (q % window) - (k % window) + window - 1;
      index[q * tokens + k] = rows * side + columns;
    }
  }
  return index;
}
