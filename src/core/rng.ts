/**
 * A small seeded random generator (sfc32, Chris Doty-Humphrey's PractRand family). Equal seeds give equal streams on
 * every machine, and `fork` gives an independent stream for a label, so that adding a consumer moves no other one.
 */
export class Rng {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number | string) {
    const hash = hashText(String(seed));
    this.#a = hash;
    this.#b = Math.imul(hash, 0x85ebca6b) ^ 0x9e3779b9;
    this.#c = Math.imul(hash, 0xc2b2ae35) ^ 0x243f6a88;
    this.#counter = 1;
    for (let i = 0; i < 15; i++) this.uint32();
  }

  /** An independent generator for `label`, from this one's current state; this one does not advance. */
  fork(label: string | number): Rng {
    return new Rng(`${this.#a >>> 0}:${this.#b >>> 0}:${this.#c >>> 0}:${this.#counter >>> 0}:${label}`);
  }

  /** An integer in [0, 2³²). */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** A number in [low, high), 32 random bits. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 4294967296);
  }

  /** An integer in [0, n). */
  int(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** A draw from N(mean, std²), by Box and Muller. */
  normal(mean = 0, std = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + std * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A draw from N(0, std²) cut off at two standard deviations, by rejection. */
  truncatedNormal(std: number): number {
    for (;;) {
      const draw = this.normal();
      if (Math.abs(draw) <= 2) return draw * std;
    }
  }

  /** One element of a non-empty list. */
  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)] as T;
  }

  /** A random order of 0 … n−1 (Fisher and Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.int(i + 1);
      const held = order[i] as number;
      order[i] = order[j] as number;
      order[j] = held;
    }
    return order;
  }
}

/** A 32-bit hash of a text (FNV-1a with a final avalanche). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
