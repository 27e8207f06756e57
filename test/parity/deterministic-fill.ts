/** How one parameter of a reference model was filled: uniform with this mean and standard deviation. */
export interface FillRule {
  readonly name: string;
  readonly shape: readonly number[];
  readonly mean: number;
  readonly std: number;
}

const textEncoder = new TextEncoder();

/** The 32-bit FNV-1a hash of a text's UTF-8 bytes. */
function fnv1a(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of textEncoder.encode(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value;
}

/**
 * `count` numbers that depend on nothing but the arguments: the MurmurHash3 finaliser of each index plus the name's
 * hash, made uniform. `scripts/fixtures/deterministic_fill.py` computes the same bits.
 */
export function deterministicFill(name: string, count: number, mean = 0, std = 1): Float32Array {
  const seed = fnv1a(name);
  const scale = std * Math.sqrt(3);
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let hash = (Math.imul(i, 0x9e3779b9) + seed) | 0;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash = (hash ^ (hash >>> 16)) >>> 0;
    numbers[i] = mean + scale * (2 * ((hash + 0.5) / 4294967296) - 1);
  }
  return numbers;
}

/** The weights of a reference model, from the `parameters` list in its fixture's metadata. */
export function fillParameters(rules: readonly FillRule[]): Map<string, { shape: number[]; data: Float32Array }> {
  return new Map(
    rules.map(({ name, shape, mean, std }) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [name, { shape: [...shape], data: deterministicFill(name, count, mean, std) }];
    }),
  );
}
