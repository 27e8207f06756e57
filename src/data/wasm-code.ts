/** The few WebAssembly instructions that our kernels are made of, as bytes. Names are the specification's. */

type Code = readonly number[];

const blockWithoutValue = 0x40;

/** A number in LEB128 as unsigned. */
function unsigned(value: number): Code {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function signed(value: number): Code {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    if (rest >= -64 && rest < 64) return [...bytes, rest & 0x7f];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

const simd = (opcode: number, ...rest: Code): Code => [0xfd, ...unsigned(opcode), ...rest];
/** Alignment is a hint; 0 promises none. */
const anywhere = [0, 0];

export const wasm = {
  i32Const: (value: number): Code => [0x41, ...signed(value)],
  i32Load: [0x28, ...anywhere],
  i32Add: [0x6a],
  i32Sub: [0x6b],
  i32Mul: [0x6c],
  i32LessUnsigned: [0x49],
  i32IsZero: [0x45],
  /** Repeats `body`, which ends with {@link again}. */
  loop: (...body: Code[]): Code => [0x03, blockWithoutValue, ...body.flat(), 0x0b],
  /** Code that {@link leave} jumps to the end of. */
  block: (...body: Code[]): Code => [0x02, blockWithoutValue, ...body.flat(), 0x0b],
  /** Back to the start of the loop around it, if the value on the stack is not 0. */
  again: [0x0d, 0],
  /** Out of the block around it, if the value on the stack is not 0. */
  leave: [0x0d, 0],
  v128Load: simd(0, ...anywhere),
  v128Store: simd(11, ...anywhere),
  v128Load32Splat: simd(9, ...anywhere),
  v128Load32Zero: simd(92, ...anywhere),
  v128Store32Lane0: simd(90, ...anywhere, 0),
  i32x4Splat: simd(17),
  i32x4Add: simd(174),
  i32x4Mul: simd(181),
  i32x4ShiftRight: simd(172),
  u16x8Low: simd(137),
  u16x8High: simd(138),
  u32x4Low: simd(169),
  u32x4High: simd(170),
  i16x8Narrow: simd(133),
  u8x16Narrow: simd(102),
} satisfies Record<string, Code | ((...args: never[]) => Code)>;

export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly string[]; // all i32
  readonly integers: readonly string[]; // local variables
  readonly vectors: readonly string[]; // local variables of 128 bits
  readonly body: (local: { get(name: string): Code; set(name: string): Code }) => readonly Code[];
}

/** A module of functions without results over one memory, exported as `memory` and growing from one page. */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters }) => [0x60, ...list(parameters.map(() => [0x7f])), 0]);
  const exported = functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]);
  const bodies = functions.map(({ parameters, integers, vectors, body }) => {
    const names = [...parameters, ...integers, ...vectors];
    const indexOf = (name: string): Code => {
      if (!names.includes(name)) throw new Error(`wasmModule: ${name} must be a local, it is none`);
      return unsigned(names.indexOf(name));
    };
    const local = {
      get: (name: string): Code => [0x20, ...indexOf(name)],
      set: (name: string): Code => [0x21, ...indexOf(name)],
    };
    const groups = list([
      [...unsigned(integers.length), 0x7f],
      [...unsigned(vectors.length), 0x7b],
    ]);
    const code = [...groups, ...body(local).flat(), 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(5, list([[0x00, 1]])),
    ...section(7, list([...exported, [...text("memory"), 2, 0]])),
    ...section(10, list(bodies)),
  ]);
}

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function text(value: string): Code {
  return list([...value].map((letter) => [letter.charCodeAt(0)]));
}

function section(id: number, content: Code): Code {
  return [id, ...unsigned(content.length), ...content];
}
