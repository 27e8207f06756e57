import { hammingDistance } from "./perceptual-hash.ts";

/**
 * Finds 64-bit hashes within a Hamming radius. The bits are cut into radius + 1 bands: two hashes that differ in at
 * most `radius` bits agree in one band whole, so only hashes that share a band's value are compared.
 */
export class HashIndex {
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #radius: number;
  readonly #bands: readonly {
    readonly offset: number;
    readonly width: number;
    readonly buckets: Map<number, number[]>;
  }[];

  /** @param radius  0 … 15 differing bits */
  constructor(hashes: readonly { readonly high: number; readonly low: number }[], radius: number) {
    if (!Number.isInteger(radius) || radius < 0 || radius > 15) {
      throw new RangeError(`HashIndex: radius must be a whole number from 0 to 15, got ${radius}.`);
    }
    this.#radius = radius;
    this.#high = Uint32Array.from(hashes, (hash) => hash.high);
    this.#low = Uint32Array.from(hashes, (hash) => hash.low);
    this.#bands = bandsOf(Math.max(radius + 1, 3)).map(({ offset, width }) => {
      const buckets = new Map<number, number[]>();
      for (let i = 0; i < hashes.length; i++) {
        const value = bitsAt(this.#high[i], this.#low[i], offset, width);
        const bucket = buckets.get(value);
        if (bucket === undefined) buckets.set(value, [i]);
        else bucket.push(i);
      }
      return { offset, width, buckets };
    });
  }

  /** How many hashes {@link within} would compare with the given one, those in several bands counted each time. */
  comparisons(high: number, low: number): number {
    const sizes = this.#bands.map(
      ({ offset, width, buckets }) => buckets.get(bitsAt(high, low, offset, width))?.length ?? 0,
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** The indices of all hashes at most `radius` bits from the given one, ascending. */
  within(high: number, low: number): number[] {
    const found = new Set<number>();
    for (const { offset, width, buckets } of this.#bands) {
      for (const i of buckets.get(bitsAt(high, low, offset, width)) ?? []) {
        if (hammingDistance(high, low, this.#high[i], this.#low[i]) <= this.#radius) found.add(i);
      }
    }
    return [...found].sort((a, b) => a - b);
  }
}

/** Cuts 64 bits into `count` bands of nearly equal width, none above 32 bits. */
function bandsOf(count: number): { offset: number; width: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const offset = Math.floor((64 * i) / count);
    return { offset, width: Math.floor((64 * (i + 1)) / count) - offset };
  });
}

/** `width` bits (1 … 31) from bit `offset` of the 64, counted from the least significant. */
function bitsAt(high: number, low: number, offset: number, width: number): number {
  const mask = 2 ** width - 1;
  if (offset >= 32) return (high >>> (offset - 32)) & mask;
  const fromLow = low >>> offset;
  const fromHigh = offset === 0 ? 0 : high << (32 - offset);
  return (fromLow | fromHigh) & mask;
}
