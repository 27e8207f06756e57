import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";
import { PickleGlobal, readPickle } from "./pickle.ts";
import { type StoredTensor, toFloat32 } from "./safetensors.ts";
import { DTYPE_BYTES, type SafetensorsDtype } from "./safetensors-header.ts";
import { type StoredEntry, storedEntries } from "./stored-zip.ts";

/** Storage classes, by the names that PyTorch pickles them under. */
const storageTypes: Readonly<Record<string, SafetensorsDtype>> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

/** The pickle of a large model's dictionary is a few hundred kilobytes. */
const LARGEST_PICKLE = 64 * 2 ** 20;
const MOST_AXES = 32;
/** Views may share a storage (tied weights), but a small file must not claim a whole memory. */
const MOST_VALUES_A_BYTE = 8;

interface Storage {
  dtype: SafetensorsDtype;
  key: string;
  count: number; // elements
}

/** A tensor as the pickle describes it: a strided view of a storage. */
class TorchTensor {
  readonly storage: Storage;
  readonly offset: number; // elements
  readonly shape: number[];
  readonly strides: number[];

  constructor(storage: Storage, offset: number, shape: number[], strides: number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/**
 * Reads the tensors of a PyTorch file (`torch.save` of a state dictionary, PyTorch ≥ 1.6) as float32. Nothing in the file
 * is executed: its pickle is read as data, and a name other than those of tensors and dictionaries is an error. Where the
 * file wraps the dictionary, as training scripts do, `state_dict` or `model` inside it is read; a `module.` that all names
 * begin with is dropped.
 *
 * @throws UserError naming the file: not-found, unreadable, corrupt, unsupported (TorchScript, the format before 1.6,
 *         objects that are no tensors)
 */
export async function readTorchFile(path: string): Promise<Map<string, StoredTensor>> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const entries = await storedEntries(path, file);
    const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickle === undefined) throw new UserError("corrupt", `${path}: must hold data.pkl, as torch.save writes it.`);
    const folder = pickle.slice(0, -"data.pkl".length);
    if (entries.has(`${folder}constants.pkl`)) {
      const rule = "must be a state dictionary, got a TorchScript program";
      throw new UserError("unsupported", `${path}: ${rule}. Save its state_dict() with safetensors.torch.save_file.`);
    }
    const source = { path, file, entries, folder };
    const order = entries.get(`${folder}byteorder`);
    if (order && new TextDecoder().decode(await readEntry(source, order)) !== "little") {
      throw new UserError("unsupported", `${path}: must be little-endian, got another byte order.`);
    }
    const entry = entries.get(pickle) as StoredEntry;
    if (entry.length > LARGEST_PICKLE) {
      throw new UserError("too-large", `${path}: data.pkl must be under ${LARGEST_PICKLE} bytes, got ${entry.length}.`);
    }
    const tensors = stateDictionary(path, parse(path, await readEntry(source, entry)));
    return await readTensors(source, tensors);
  } catch (error) {
    throw fileError(path, error);
  } finally {
    await file?.close();
  }
}

function parse(path: string, bytes: Uint8Array): unknown {
  try {
    return readPickle(bytes, { reduce, persistent });
  } catch (error) {
    if (error instanceof UserError) throw new UserError(error.code, `${path}: ${error.message}`, { cause: error });
    throw new UserError("corrupt", `${path}: must be what torch.save writes, got: ${(error as Error).message}.`, {
      cause: error,
    });
  }
}

/** The calls that make up a state dictionary. Everything else is refused: a pickle may name any function at all. */
function reduce(callee: PickleGlobal, args: readonly unknown[]): unknown {
  switch (`${callee}`) {
    case "collections.OrderedDict":
    case "yacs.config.CfgNode": // a dictionary too: the settings that training scripts save beside the weights
      if (args.length === 0) return new Map();
      break;
    case "__builtin__.set": // among the attributes of such settings
    case "builtins.set":
      if (Array.isArray(args[0])) return args[0];
      break;
    case "torch._utils._rebuild_parameter":
      if (args[0] instanceof TorchTensor) return args[0];
      break;
    case "torch._utils._rebuild_tensor_v2": {
      const [storage, offset, shape, strides] = args;
      if (
        isStorage(storage) &&
        isCount(offset) &&
        isSizes(shape) &&
        isSizes(strides) &&
        shape.length === strides.length
      )
        return new TorchTensor(storage, offset, shape, strides);
      break;
    }
    case "torch.Size":
      if (isSizes(args[0])) return args[0];
      break;
    default:
      throw new UserError(
        "unsupported",
        `must hold tensors and dictionaries alone, got a call of ${callee}. Save the state_dict() by itself.`,
      );
  }
  throw new Error(`wrong arguments of ${callee}`);
}

function persistent(id: unknown): Storage {
  if (Array.isArray(id) && id[0] === "storage") {
    const [, type, key, , count] = id as unknown[];
    const dtype = type instanceof PickleGlobal && type.module === "torch" ? storageTypes[type.name] : undefined;
    if (!dtype) throw new UserError("unsupported", `must hold storages of a known type, got ${type}.`);
    if (typeof key === "string" && isCount(count)) return { dtype, key, count };
  }
  throw new Error("a storage is described wrongly");
}

function isStorage(value: unknown): value is Storage {
  return typeof value === "object" && value !== null && "dtype" in value && "key" in value;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_AXES && value.every(isCount);
}

/** The dictionary of tensors in a file, by name; values that are no tensors (steps, settings) are left out. */
function stateDictionary(path: string, root: unknown): Map<string, TorchTensor> {
  for (const candidate of [root, entryOf(root, "state_dict"), entryOf(root, "model")]) {
    if (!(candidate instanceof Map)) continue;
    const tensors = [...candidate].filter(
      (entry): entry is [string, TorchTensor] => typeof entry[0] === "string" && entry[1] instanceof TorchTensor,
    );
    if (tensors.length === 0) continue;
    const wrapped = tensors.every(([name]) => name.startsWith("module."));
    return new Map(tensors.map(([name, tensor]) => [wrapped ? name.slice("module.".length) : name, tensor]));
  }
  const rule = "must hold a dictionary of tensors, by itself or as state_dict or model, got none";
  throw new UserError("unsupported", `${path}: ${rule}.`);
}

function entryOf(map: unknown, key: string): unknown {
  return map instanceof Map ? map.get(key) : undefined;
}

interface TorchSource {
  path: string;
  file: FileHandle;
  entries: ReadonlyMap<string, StoredEntry>;
  folder: string;
}

/** Storage by storage, so that tensors that share one read it once. */
async function readTensors(
  source: TorchSource,
  tensors: ReadonlyMap<string, TorchTensor>,
): Promise<Map<string, StoredTensor>> {
  const { size } = await source.file.stat();
  const total = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  if (total > MOST_VALUES_A_BYTE * size) {
    const rule = `its tensors must have at most ${MOST_VALUES_A_BYTE} values for each of its ${size} bytes`;
    throw new UserError("corrupt", `${source.path}: ${rule}, got ${total}: they share storages without end.`);
  }
  const byStorage = groupByStorage(tensors);
  const read = new Map<string, StoredTensor>();
  for (const [key, views] of byStorage) {
    const { dtype } = views[0][1].storage;
    const entry = source.entries.get(`${source.folder}data/${key}`);
    if (!entry) throw new UserError("corrupt", `${source.path}: must hold data/${key}, it is missing.`);
    if (views.some(([, { storage }]) => storage.dtype !== dtype || storage.count * DTYPE_BYTES[dtype] > entry.length)) {
      const rule = `data/${key} must be ${views[0][1].storage.count} values of ${dtype}`;
      throw new UserError("corrupt", `${source.path}: ${rule}, got ${entry.length} bytes.`);
    }
    const bytes = await readEntry(source, entry);
    const whole = bytes.byteLength - (bytes.byteLength % DTYPE_BYTES[dtype]);
    const values = toFloat32(dtype, whole === bytes.byteLength ? bytes.buffer : bytes.buffer.slice(0, whole));
    for (const [name, view] of views)
      read.set(name, { dtype, shape: view.shape, data: gather(source.path, name, view, values) });
  }
  return new Map([...tensors.keys()].map((name) => [name, read.get(name) as StoredTensor]));
}

function groupByStorage(tensors: ReadonlyMap<string, TorchTensor>): Map<string, [string, TorchTensor][]> {
  const groups = new Map<string, [string, TorchTensor][]>();
  for (const entry of tensors) {
    const { key } = entry[1].storage;
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return groups;
}

/** The elements of a strided view, row-major. */
function gather(path: string, name: string, view: TorchTensor, values: Float32Array): Float32Array {
  const { shape, strides, offset } = view;
  const count = shape.reduce((product, side) => product * side, 1);
  const last = shape.reduce((at, side, axis) => at + (side - 1) * strides[axis], offset);
  if (count > 0 && (last >= values.length || count > values.length)) {
    const rule = `${name} [${shape.join(", ")}] must lie in its storage of ${values.length} values`;
    throw new UserError("corrupt", `${path}: ${rule}, got one that reaches ${last}.`);
  }
  const contiguous = strides.every((stride, axis) => stride === shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  if (contiguous) return values.slice(offset, offset + count);
  const data = new Float32Array(count);
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = offset; i < count; i++) {
    data[i] = values[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++;
      at += strides[axis];
      if (index[axis] < shape[axis]) break;
      at -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return data;
}

async function readEntry(
  { path, file }: TorchSource,
  { start, length }: StoredEntry,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(2 ** 30, length - done), start + done);
    if (bytesRead === 0) throw new UserError("corrupt", `${path}: must not end within an entry. Fetch it anew.`);
    done += bytesRead;
  }
  return bytes;
}
