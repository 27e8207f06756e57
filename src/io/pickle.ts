/** A name that a pickle refers to: `torch._utils` `_rebuild_tensor_v2`. */
export class PickleGlobal {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  toString(): string {
    return `${this.module}.${this.name}`;
  }
}

/** What only the file's own format knows. Nothing is ever looked up or run: an unknown name must throw. */
export interface PickleHandlers {
  /** The result of calling `callee` with these arguments. */
  reduce(callee: PickleGlobal, args: readonly unknown[]): unknown;
  /** Gives an object that `reduce` made, or a Map, its attributes. */
  build(target: unknown, state: unknown): void;
  /** The object that a persistent id stands for. */
  persistent(id: unknown): unknown;
}

const DEEPEST = 10_000; // a state dictionary has four

const textDecoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a pickle as data: dictionaries become Maps, lists and tuples arrays, names {@link PickleGlobal}s. Protocols 2 to 4,
 * the opcodes that state dictionaries need; no object is made or called but through the handlers.
 *
 * @throws Error saying what is wrong, at which byte
 */
export function readPickle(bytes: Uint8Array, handlers: PickleHandlers): unknown {
  return new PickleMachine(bytes, handlers).run();
}

class PickleMachine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #handlers: PickleHandlers;
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = []; // lengths of the stack, kept apart so that no mark has to be looked for
  readonly #memo = new Map<number, unknown>();
  #at = 0;

  constructor(bytes: Uint8Array, handlers: PickleHandlers) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#handlers = handlers;
  }

  run(): unknown {
    for (;;) {
      const at = this.#at;
      const opcode = this.#take(1)[0];
      if (opcode === 0x2e) return this.#pop(); // STOP
      const operation = operations[opcode];
      if (!operation) throw new Error(`opcode 0x${opcode.toString(16).padStart(2, "0")} at byte ${at} is not known`);
      operation(this.#parts);
    }
  }

  readonly #parts: MachineParts = {
    push: (value) => this.#stack.push(value),
    pop: () => this.#pop(),
    mark: () => {
      if (this.#marks.push(this.#stack.length) > DEEPEST) throw new Error(`more than ${DEEPEST} values within values`);
    },
    popToMark: () => this.#popToMark(),
    top: () => this.#stack.at(-1),
    take: (length) => this.#take(length),
    uint8: () => this.#take(1)[0],
    uint16: () => this.#view.getUint16(this.#skip(2), true),
    int32: () => this.#view.getInt32(this.#skip(4), true),
    uint32: () => this.#view.getUint32(this.#skip(4), true),
    length64: () => Number(this.#view.getBigUint64(this.#skip(8), true)),
    float64: () => this.#view.getFloat64(this.#skip(8), false),
    line: () => this.#line(),
    remember: (index) => this.#memo.set(index ?? this.#memo.size, this.#stack.at(-1)),
    recall: (index) => {
      if (!this.#memo.has(index)) throw new Error(`memo ${index} was never set`);
      return this.#memo.get(index);
    },
    reduce: (callee, args) => {
      if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) throw new Error("a call must name its callee");
      return this.#handlers.reduce(callee, args);
    },
    build: (target, state) => this.#handlers.build(target, state),
    persistent: (id) => this.#handlers.persistent(id),
  };

  #pop(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw new Error(`the stack is empty at byte ${this.#at}`);
    return this.#stack.pop();
  }

  #popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new Error(`there is no mark at byte ${this.#at}`);
    const values = new Array<unknown>(this.#stack.length - mark);
    for (let i = values.length - 1; i >= 0; i--) values[i] = this.#stack.pop();
    return values;
  }

  /** Moves on by `length` bytes, which must be there; where they began. */
  #skip(length: number): number {
    if (!(length <= this.#bytes.length - this.#at))
      throw new Error(`it ends at byte ${this.#bytes.length}, in a value`);
    this.#at += length;
    return this.#at - length;
  }

  #take(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw new Error("a name has no end");
    const text = textDecoder.decode(this.#take(end - this.#at));
    this.#at++;
    return text;
  }
}

interface MachineParts {
  push(value: unknown): void;
  pop(): unknown;
  mark(): void;
  popToMark(): unknown[];
  top(): unknown;
  take(length: number): Uint8Array;
  uint8(): number;
  uint16(): number;
  int32(): number;
  uint32(): number;
  length64(): number;
  float64(): number;
  line(): string;
  remember(index?: number): void;
  recall(index: number): unknown;
  reduce(callee: unknown, args: unknown): unknown;
  build(target: unknown, state: unknown): void;
  persistent(id: unknown): unknown;
}

type Operation = (machine: MachineParts) => void;

function text(machine: MachineParts, length: number): void {
  machine.push(textDecoder.decode(machine.take(length)));
}

function setItems(machine: MachineParts, entries: readonly unknown[]): void {
  const target = machine.top();
  if (!(target instanceof Map) || entries.length % 2 !== 0) throw new Error("entries must belong to a dictionary");
  for (let i = 0; i < entries.length; i += 2) target.set(entries[i], entries[i + 1]);
}

function append(machine: MachineParts, values: readonly unknown[]): void {
  const target = machine.top();
  if (!Array.isArray(target)) throw new Error("appended values must belong to a list");
  for (const value of values) target.push(value);
}

function tuple(machine: MachineParts, length: number): void {
  const values = Array.from({ length }, () => machine.pop());
  machine.push(values.reverse());
}

/** A little-endian two's complement integer; beyond 2⁵³ it is rounded, which no size or offset of ours can be. */
function longInteger(bytes: Uint8Array): number {
  let value = 0n;
  for (const byte of [...bytes].reverse()) value = (value << 8n) | BigInt(byte);
  return Number(BigInt.asIntN(8 * bytes.length, value));
}

function global(machine: MachineParts, module: unknown, name: unknown): void {
  if (typeof module !== "string" || typeof name !== "string") throw new Error("a name must be text");
  machine.push(new PickleGlobal(module, name));
}

/** By opcode. Names as in Python's `pickletools`. */
const operations: Readonly<Record<number, Operation>> = {
  128: (m) => void m.uint8(), // PROTO
  149: (m) => void m.length64(), // FRAME
  40: (m) => m.mark(), // MARK
  48: (m) => void m.pop(), // POP
  78: (m) => m.push(null), // NONE
  136: (m) => m.push(true), // NEWTRUE
  137: (m) => m.push(false), // NEWFALSE
  74: (m) => m.push(m.int32()), // BININT
  75: (m) => m.push(m.uint8()), // BININT1
  77: (m) => m.push(m.uint16()), // BININT2
  138: (m) => m.push(longInteger(m.take(m.uint8()))), // LONG1
  71: (m) => m.push(m.float64()), // BINFLOAT
  88: (m) => text(m, m.uint32()), // BINUNICODE
  140: (m) => text(m, m.uint8()), // SHORT_BINUNICODE
  141: (m) => text(m, m.length64()), // BINUNICODE8
  84: (m) => text(m, m.uint32()), // BINSTRING
  85: (m) => text(m, m.uint8()), // SHORT_BINSTRING
  125: (m) => m.push(new Map()), // EMPTY_DICT
  93: (m) => m.push([]), // EMPTY_LIST
  41: (m) => m.push([]), // EMPTY_TUPLE
  116: (m) => m.push(m.popToMark()), // TUPLE
  133: (m) => tuple(m, 1), // TUPLE1
  134: (m) => tuple(m, 2), // TUPLE2
  135: (m) => tuple(m, 3), // TUPLE3
  97: (m) => {
    const value = m.pop();
    append(m, [value]); // APPEND
  },
  101: (m) => append(m, m.popToMark()), // APPENDS: the values are taken first, then the list is on top
  115: (m) => {
    const value = m.pop();
    const key = m.pop();
    setItems(m, [key, value]); // SETITEM
  },
  117: (m) => setItems(m, m.popToMark()), // SETITEMS
  99: (m) => global(m, m.line(), m.line()), // GLOBAL
  147: (m) => {
    const name = m.pop();
    global(m, m.pop(), name); // STACK_GLOBAL
  },
  82: (m) => {
    const args = m.pop();
    m.push(m.reduce(m.pop(), args)); // REDUCE
  },
  129: (m) => {
    const args = m.pop();
    m.push(m.reduce(m.pop(), args)); // NEWOBJ: a class instead of a function, which is the handler's to tell
  },
  98: (m) => {
    const state = m.pop();
    m.build(m.top(), state); // BUILD
  },
  81: (m) => m.push(m.persistent(m.pop())), // BINPERSID
  113: (m) => m.remember(m.uint8()), // BINPUT
  114: (m) => m.remember(m.uint32()), // LONG_BINPUT
  148: (m) => m.remember(), // MEMOIZE
  104: (m) => m.push(m.recall(m.uint8())), // BINGET
  106: (m) => m.push(m.recall(m.uint32())), // LONG_BINGET
};
