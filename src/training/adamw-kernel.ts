/**
 * The inner loop of AdamW as a WebAssembly module of four float32 lanes, assembled here from its instructions. V8 does
 * this loop in double precision, one element at a time; the module is 2–3 times faster and rounds as float32 should.
 */

const BLOCK = 4096; // elements staged at a time: four arrays of 16 KiB, so that the staging area stays in cache
const BLOCK_BYTES = BLOCK * 4;

/** The scalars of one update, equal for all elements of a tensor. */
export interface AdamWScalars {
  readonly gradientScale: number; // clipping factor
  readonly beta1: number;
  readonly beta2: number;
  readonly weightScale: number; // 1 − learning rate × weight decay
  readonly stepSize: number; // learning rate / (1 − β1ᵗ)
  readonly secondMomentScale: number; // 1 / √(1 − β2ᵗ)
  readonly epsilon: number;
}

/** Updates one tensor in place: `weights`, `first` and `second` change, `gradient` does not. All have equal lengths. */
export function updateAdamW(
  weights: Float32Array,
  gradient: Float32Array,
  first: Float32Array,
  second: Float32Array,
  scalars: AdamWScalars,
): void {
  kernel ??= instantiate();
  const { stage, run } = kernel;
  const [stagedWeights, stagedGradient, stagedFirst, stagedSecond] = stage;
  const { gradientScale, beta1, beta2, weightScale, stepSize, secondMomentScale, epsilon } = scalars;
  const length = weights.length;
  for (let start = 0; start < length; start += BLOCK) {
    const count = Math.min(BLOCK, length - start);
    const end = start + count;
    stagedWeights.set(weights.subarray(start, end));
    stagedGradient.set(gradient.subarray(start, end));
    stagedFirst.set(first.subarray(start, end));
    stagedSecond.set(second.subarray(start, end));
    const bytes = ((count + 3) & ~3) * 4; // up to three stale elements are updated too, and never copied out
    run(bytes, gradientScale, beta1, 1 - beta1, beta2, 1 - beta2, weightScale, stepSize, secondMomentScale, epsilon);
    weights.set(count === BLOCK ? stagedWeights : stagedWeights.subarray(0, count), start);
    first.set(count === BLOCK ? stagedFirst : stagedFirst.subarray(0, count), start);
    second.set(count === BLOCK ? stagedSecond : stagedSecond.subarray(0, count), start);
  }
}

interface Kernel {
  readonly stage: readonly [Float32Array, Float32Array, Float32Array, Float32Array];
  readonly run: (bytes: number, ...scalars: number[]) => void;
}

let kernel: Kernel | undefined;

/** The part of the WebAssembly interface used here; Node's type declarations have none. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> };
}

function instantiate(): Kernel {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
  const { exports } = new Instance(new Module(assembleModule()));
  const { buffer } = exports.memory as { readonly buffer: ArrayBuffer };
  const staged = (slot: number) => new Float32Array(buffer, slot * BLOCK_BYTES, BLOCK);
  return { stage: [staged(0), staged(1), staged(2), staged(3)], run: exports.run as Kernel["run"] };
}

// --- assembly: the binary format of WebAssembly core 2.0, sections 5.4 and 5.5 ---

const I32 = 0x7f;
const F32 = 0x7d;
const V128 = 0x7b;
const FIRST_SPLAT = 10; // locals 1–9 are the float parameters, 10–18 the same splatted to four lanes
const POINTER = 19;
const [GRADIENT, FIRST, SECOND] = [20, 21, 22];

function assembleModule(): Uint8Array<ArrayBuffer> {
  const type = [0x60, ...list([[I32], ...new Array<number[]>(9).fill([F32])]), ...list([])];
  const exported = [
    [...text("memory"), 0x02, 0],
    [...text("run"), 0x00, 0],
  ];
  const locals = list([
    [9, V128],
    [1, I32],
    [3, V128],
  ]);
  const code = [...locals, ...body(), 0x0b];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list([type])),
    ...section(3, list([[0]])),
    ...section(5, list([[0x00, (4 * BLOCK_BYTES) / 65536]])),
    ...section(7, list(exported)),
    ...section(10, list([[...unsigned(code.length), ...code]])),
  ]);
}

/** The function's instructions, in the order of the update's formulas. */
function body(): number[] {
  const [scale, beta1, beta1Rest, beta2, beta2Rest, weightScale, stepSize, secondScale, epsilon] = Array.from(
    { length: 9 },
    (_, i) => get(FIRST_SPLAT + i),
  );
  const splats = Array.from({ length: 9 }, (_, i) => [...get(1 + i), ...simd(0x13), ...set(FIRST_SPLAT + i)]).flat();
  const gradient = multiply(load(1), scale);
  const first = add(multiply(beta1, load(2)), multiply(beta1Rest, get(GRADIENT)));
  const second = add(multiply(beta2, load(3)), multiply(beta2Rest, multiply(get(GRADIENT), get(GRADIENT))));
  const denominator = add(multiply([...get(SECOND), ...simd(0xe3)], secondScale), epsilon); // 0xe3: square root
  const weights = subtract(multiply(load(0), weightScale), divide(multiply(stepSize, get(FIRST)), denominator));
  return [
    ...splats,
    ...[0x03, 0x40], // loop
    ...[...gradient, ...set(GRADIENT)],
    ...[...first, ...set(FIRST), ...store(2, get(FIRST))],
    ...[...second, ...set(SECOND), ...store(3, get(SECOND))],
    ...store(0, weights),
    ...[...get(POINTER), 0x41, 16, 0x6a, 0x22, POINTER], // pointer += 16
    ...[...get(0), 0x49, 0x0d, 0, 0x0b], // again while pointer < bytes
  ];
}

const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const simd = (opcode: number) => [0xfd, ...unsigned(opcode)];
const add = (a: number[], b: number[]) => [...a, ...b, ...simd(0xe4)];
const subtract = (a: number[], b: number[]) => [...a, ...b, ...simd(0xe5)];
const multiply = (a: number[], b: number[]) => [...a, ...b, ...simd(0xe6)];
const divide = (a: number[], b: number[]) => [...a, ...b, ...simd(0xe7)];
const load = (slot: number) => [...get(POINTER), ...simd(0x00), 4, ...unsigned(slot * BLOCK_BYTES)];
const store = (slot: number, value: number[]) => [
  ...get(POINTER),
  ...value,
  ...simd(0x0b),
  4,
  ...unsigned(slot * BLOCK_BYTES),
];

const section = (id: number, content: number[]) => [id, ...unsigned(content.length), ...content];
const list = (items: readonly number[][]) => [...unsigned(items.length), ...items.flat()];
const text = (value: string) => [...unsigned(value.length), ...new TextEncoder().encode(value)];

/** LEB128, the variable-length integer of the format. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}
