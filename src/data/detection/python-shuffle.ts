/**
 * The order that Python's `random.Random(seed).shuffle` gives 0 … n−1: subsets drawn by published Python code can be
 * drawn again. Mersenne Twister, Matsumoto and Nishimura 1998, seeded as Python seeds from a whole number.
 *
 * @param seed  0 … 2³² − 1
 */
export function pythonShuffledOrder(n: number, seed: number): Uint32Array {
  const twister = new MersenneTwister(seed);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = twister.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

const SIZE = 624;
const SHIFT = 397;

class MersenneTwister {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /** Seeds with the list [seed], as CPython does for numbers of one word. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    let i = 1;
    const step = () => {
      if (++i < SIZE) return;
      state[0] = state[SIZE - 1];
      i = 1;
    };
    const mixed = (factor: number) => state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), factor);
    for (let k = 0; k < SIZE; k++, step()) state[i] = mixed(1664525) + seed;
    for (let k = 0; k < SIZE - 1; k++, step()) state[i] = mixed(1566083941) - i;
    state[0] = 0x80000000;
  }

  /** A number in [0, n): whole words are cut to n's bits, and drawn again while they are too large. */
  below(n: number): number {
    const bits = 32 - Math.clz32(n);
    for (;;) {
      const drawn = this.#word() >>> (32 - bits);
      if (drawn < n) return drawn;
    }
  }

  #word(): number {
    if (this.#next >= SIZE) this.#twist();
    let word = this.#state[this.#next++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
