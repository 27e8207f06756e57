import { type WasmFunction, wasm, wasmModule } from "./wasm-code.ts";

/** Which source samples make each target position, and their fixed-point weights. */
export interface AxisWeights {
  readonly taps: number; // room for weights a target position
  readonly first: Int32Array; // [window], first source position
  readonly counts: Int32Array; // [window], source positions used
  readonly weights: Int32Array; // [window, taps], units of 2⁻²²
}

export const PRECISION_BITS = 32 - 8 - 2; // an 8-bit value, two guard bits for kernels that overshoot
const ONE_HALF = 1 << (PRECISION_BITS - 1);

/** Source bytes that are in the kernels' memory at a time: about what a core's own cache holds. */
const bandBytes = 2 ** 19;
/** A memory that an enormous picture has blown up beyond this is given back. */
const largestKept = 2 ** 26;
/** Vectors read and write past the end of what is meant. */
const overrun = 16;
const page = 2 ** 16;

/**
 * Source rows `firstRow` … `lastRow` (exclusive) of a picture `width` pixels wide, each resampled to the columns of the
 * target window; whole sums in 32 bits, then a byte.
 */
export function resampleRows(
  source: Uint8Array,
  width: number,
  [firstRow, lastRow]: readonly [number, number],
  target: Uint8Array,
  columns: AxisWeights,
): void {
  const rowBytes = width * 3;
  const outBytes = columns.first.length * 3;
  const bandRows = Math.min(lastRow - firstRow, Math.max(1, Math.floor(bandBytes / rowBytes)));
  const { memory, run, tables, input, output } = kernelFor(columns, bandRows * rowBytes, bandRows * outBytes);
  for (let row = firstRow; row < lastRow; row += bandRows) {
    const rows = Math.min(bandRows, lastRow - row);
    memory.set(source.subarray(row * rowBytes, (row + rows) * rowBytes), input);
    run.rows(input, rowBytes, rows, output, outBytes, columns.taps * 4, ...tables);
    target.set(memory.subarray(output, output + rows * outBytes), (row - firstRow) * outBytes);
  }
}

/** Rows of `rowBytes` bytes, the first of which is the picture's `firstRow`, resampled to the rows of the target window. */
export function resampleColumns(
  source: Uint8Array,
  rowBytes: number,
  firstRow: number,
  target: Uint8Array,
  rows: AxisWeights,
): void {
  const { first, counts } = rows;
  const endOf = (y: number) => (first[y] as number) + (counts[y] as number);
  const bands: { from: number; to: number; start: number; end: number }[] = [];
  for (let from = 0; from < first.length; from = (bands.at(-1) as { to: number }).to) {
    const start = first[from] as number;
    let [to, end] = [from + 1, endOf(from)];
    while (to < first.length && (endOf(to) - start) * rowBytes <= 2 * bandBytes) end = Math.max(end, endOf(to++));
    bands.push({ from, to, start, end });
  }
  const mostRows = Math.max(...bands.map(({ start, end }) => end - start));
  const mostOut = Math.max(...bands.map(({ from, to }) => to - from));
  const { memory, run, tables, input, output } = kernelFor(rows, mostRows * rowBytes, mostOut * rowBytes);
  const [firstAt, countsAt, weightsAt] = tables;
  for (const { from, to, start, end } of bands) {
    memory.set(source.subarray((start - firstRow) * rowBytes, (end - firstRow) * rowBytes), input);
    const taps = rows.taps * 4;
    const at = [firstAt + from * 4, countsAt + from * 4, weightsAt + from * taps] as const;
    run.columns(input, rowBytes, start, to - from, output, taps, ...at);
    target.set(memory.subarray(output, output + (to - from) * rowBytes), from * rowBytes);
  }
}

type Tables = readonly [first: number, counts: number, weights: number];

interface Kernels {
  readonly memory: WebAssembly.Memory;
  rows(
    source: number,
    rowBytes: number,
    rows: number,
    target: number,
    outBytes: number,
    taps: number,
    ...tables: Tables
  ): void;
  columns(
    source: number,
    rowBytes: number,
    firstRow: number,
    rows: number,
    target: number,
    taps: number,
    ...tables: Tables
  ): void;
}

const { i32Const, i32Load, i32Add, i32Sub, i32Mul, i32LessUnsigned, i32IsZero, loop, block, again, leave } = wasm;

const rowsKernel: WasmFunction = {
  name: "rows",
  parameters: ["source", "rowBytes", "rows", "target", "outBytes", "taps", "first", "counts", "weights"],
  integers: ["end", "at", "f", "c", "w", "ws", "stop"],
  vectors: ["sum"],
  body: ({ get, set }) => {
    const step = (name: string, by: readonly number[]) => [...get(name), ...by, ...i32Add, ...set(name)];
    return [
      loop(
        [...get("target"), ...get("outBytes"), ...i32Add, ...set("end")],
        [...get("first"), ...set("f"), ...get("counts"), ...set("c"), ...get("weights"), ...set("ws")],
        loop(
          [...i32Const(ONE_HALF), ...wasm.i32x4Splat, ...set("sum")],
          [...get("source"), ...get("f"), ...i32Load, ...i32Const(3), ...i32Mul, ...i32Add, ...set("at")],
          [...get("ws"), ...set("w")],
          [...get("w"), ...get("c"), ...i32Load, ...i32Const(4), ...i32Mul, ...i32Add, ...set("stop")],
          block(
            [...get("w"), ...get("stop"), ...i32LessUnsigned, ...i32IsZero, ...leave],
            loop(
              [...get("sum"), ...get("at"), ...wasm.v128Load32Zero, ...wasm.u16x8Low, ...wasm.u32x4Low],
              [...get("w"), ...wasm.v128Load32Splat, ...wasm.i32x4Mul, ...wasm.i32x4Add, ...set("sum")],
              step("at", i32Const(3)),
              step("w", i32Const(4)),
              [...get("w"), ...get("stop"), ...i32LessUnsigned, ...again],
            ),
          ),
          // The fourth byte is the next pixel's, which comes after.
          [...get("sum"), ...i32Const(PRECISION_BITS), ...wasm.i32x4ShiftRight, ...set("sum")],
          [...get("sum"), ...get("sum"), ...wasm.i16x8Narrow, ...set("sum")],
          [...get("target"), ...get("sum"), ...get("sum"), ...wasm.u8x16Narrow, ...wasm.v128Store32Lane0],
          step("target", i32Const(3)),
          step("f", i32Const(4)),
          step("c", i32Const(4)),
          step("ws", get("taps")),
          [...get("target"), ...get("end"), ...i32LessUnsigned, ...again],
        ),
        step("source", get("rowBytes")),
        [...get("rows"), ...i32Const(1), ...i32Sub, ...set("rows"), ...get("rows"), ...again],
      ),
    ];
  },
};

const quarters = [
  [wasm.u16x8Low, wasm.u32x4Low],
  [wasm.u16x8Low, wasm.u32x4High],
  [wasm.u16x8High, wasm.u32x4Low],
  [wasm.u16x8High, wasm.u32x4High],
] as const;

const columnsKernel: WasmFunction = {
  name: "columns",
  parameters: ["source", "rowBytes", "firstRow", "rows", "target", "taps", "first", "counts", "weights"],
  integers: ["x", "at", "w", "stop", "start"],
  vectors: ["sum0", "sum1", "sum2", "sum3", "bytes", "weight"],
  body: ({ get, set }) => {
    const step = (name: string, by: readonly number[]) => [...get(name), ...by, ...i32Add, ...set(name)];
    const sums = ["sum0", "sum1", "sum2", "sum3"];
    const shifted = (name: string) => [...get(name), ...i32Const(PRECISION_BITS), ...wasm.i32x4ShiftRight];
    return [
      loop(
        [...get("first"), ...i32Load, ...get("firstRow"), ...i32Sub, ...get("rowBytes"), ...i32Mul],
        [...get("source"), ...i32Add, ...set("start")],
        [...get("weights"), ...get("counts"), ...i32Load, ...i32Const(4), ...i32Mul, ...i32Add, ...set("stop")],
        [...i32Const(0), ...set("x")],
        loop(
          ...sums.map((sum) => [...i32Const(ONE_HALF), ...wasm.i32x4Splat, ...set(sum)]),
          [...get("start"), ...get("x"), ...i32Add, ...set("at"), ...get("weights"), ...set("w")],
          block(
            [...get("w"), ...get("stop"), ...i32LessUnsigned, ...i32IsZero, ...leave],
            loop(
              [...get("at"), ...wasm.v128Load, ...set("bytes"), ...get("w"), ...wasm.v128Load32Splat, ...set("weight")],
              ...quarters.map(([half, quarter], i) => {
                const sum = sums[i] as string;
                const term = [...get("bytes"), ...half, ...quarter, ...get("weight"), ...wasm.i32x4Mul];
                return [...get(sum), ...term, ...wasm.i32x4Add, ...set(sum)];
              }),
              step("at", get("rowBytes")),
              step("w", i32Const(4)),
              [...get("w"), ...get("stop"), ...i32LessUnsigned, ...again],
            ),
          ),
          // What runs over the row's end is the next row's, which comes after.
          [...get("target"), ...get("x"), ...i32Add],
          [...shifted("sum0"), ...shifted("sum1"), ...wasm.i16x8Narrow],
          [...shifted("sum2"), ...shifted("sum3"), ...wasm.i16x8Narrow, ...wasm.u8x16Narrow, ...wasm.v128Store],
          step("x", i32Const(16)),
          [...get("x"), ...get("rowBytes"), ...i32LessUnsigned, ...again],
        ),
        step("target", get("rowBytes")),
        step("first", i32Const(4)),
        step("counts", i32Const(4)),
        step("weights", get("taps")),
        [...get("rows"), ...i32Const(1), ...i32Sub, ...set("rows"), ...get("rows"), ...again],
      ),
    ];
  },
};

let module: WebAssembly.Module | undefined;
let kept: Kernels | undefined;

/** Kernels whose memory holds the weights and has room for so many bytes of source and target. */
function kernelFor({ first, counts, weights }: AxisWeights, sourceBytes: number, targetBytes: number) {
  module ??= new WebAssembly.Module(wasmModule([rowsKernel, columnsKernel]));
  const run = kept ?? (new WebAssembly.Instance(module).exports as unknown as Kernels);
  const aligned = (bytes: number) => Math.ceil((bytes + overrun) / 16) * 16;
  const countsAt = aligned(first.byteLength);
  const weightsAt = countsAt + aligned(counts.byteLength);
  const input = weightsAt + aligned(weights.byteLength);
  const output = input + aligned(sourceBytes);
  const missing = output + aligned(targetBytes) - run.memory.buffer.byteLength;
  if (missing > 0) run.memory.grow(Math.ceil(missing / page));
  kept = run.memory.buffer.byteLength > largestKept ? undefined : run;
  const memory = new Uint8Array(run.memory.buffer);
  for (const [at, table] of [
    [0, first],
    [countsAt, counts],
    [weightsAt, weights],
  ] as const) {
    memory.set(new Uint8Array(table.buffer, table.byteOffset, table.byteLength), at);
  }
  return { memory, run, tables: [0, countsAt, weightsAt] as Tables, input, output };
}
