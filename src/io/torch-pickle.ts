import { UserError } from "../core/errors.ts";
import { PickleGlobal, readPickle } from "./pickle.ts";
import type { SafetensorsDtype } from "./safetensors-header.ts";

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

const MOST_AXES = 32;
const MOST_MODULES = 100_000; // modules may share modules: a few bytes must not name tensors without end
const DEEPEST = 64; // modules within modules

export interface TorchStorage {
  dtype: SafetensorsDtype;
  key: string;
  count: number; // elements
}

/** A tensor as the pickle describes it: a strided view of a storage. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number; // elements
  readonly shape: number[];
  readonly strides: number[];

  constructor(storage: TorchStorage, offset: number, shape: number[], strides: number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** A module of a TorchScript program: its parameters, buffers, modules and settings by name. Its class is but a name. */
class ScriptModule {
  attributes: ReadonlyMap<unknown, unknown> = new Map();
}

/**
 * The tensors that a PyTorch file's `data.pkl` names. Where it wraps the dictionary, as training scripts do, `state_dict` or
 * `model` inside it is taken; a `module.` that all names begin with is dropped. Of a TorchScript program, the parameters and
 * buffers of its modules under the names that its state dictionary has.
 *
 * @param path  the file, for errors
 * @throws UserError `corrupt`, or `unsupported` for a name other than those of tensors, modules and dictionaries
 */
export function tensorsInPickle(path: string, bytes: Uint8Array): Map<string, TorchTensor> {
  const root = parse(path, bytes);
  return root instanceof ScriptModule ? scriptTensors(path, root) : stateDictionary(path, root);
}

function parse(path: string, bytes: Uint8Array): unknown {
  try {
    return readPickle(bytes, { reduce, build, persistent });
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
    case "torch.jit._pickle.build_intlist": // settings of TorchScript modules
    case "torch.jit._pickle.build_floatlist":
    case "torch.jit._pickle.build_boollist":
    case "torch.jit._pickle.build_tensorlist":
    case "torch.jit._pickle.restore_type_tag":
      return args[0];
    default:
      if (`${callee}`.startsWith("__torch__.") && args.length === 0) return new ScriptModule();
      throw new UserError(
        "unsupported",
        `must hold tensors and dictionaries alone, got a call of ${callee}. Save the state_dict() by itself.`,
      );
  }
  throw new Error(`wrong arguments of ${callee}`);
}

/** Attributes: those of a TorchScript module are its content, those of a dictionary (`_metadata`) of no use here. */
function build(target: unknown, state: unknown): void {
  if (target instanceof Map) return;
  if (!(target instanceof ScriptModule && state instanceof Map)) throw new Error("attributes belong to nothing known");
  target.attributes = state;
}

function persistent(id: unknown): TorchStorage {
  if (Array.isArray(id) && id[0] === "storage") {
    const [, type, key, , count] = id as unknown[];
    const dtype = type instanceof PickleGlobal && type.module === "torch" ? storageTypes[type.name] : undefined;
    if (!dtype) throw new UserError("unsupported", `must hold storages of a known type, got ${type}.`);
    if (typeof key === "string" && isCount(count)) return { dtype, key, count };
  }
  throw new Error("a storage is described wrongly");
}

function isStorage(value: unknown): value is TorchStorage {
  return typeof value === "object" && value !== null && "dtype" in value && "key" in value;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_AXES && value.every(isCount);
}

/**
 * The dictionary of tensors in a file, by name; values that are no tensors (steps, settings) are left out. The root comes
 * last: a training script may save a stray tensor, such as the state of a generator, beside the weights.
 */
function stateDictionary(path: string, root: unknown): Map<string, TorchTensor> {
  for (const candidate of [entryOf(root, "state_dict"), entryOf(root, "model"), root]) {
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

/** Every tensor of a program's modules, by the path of names that leads to it. */
function scriptTensors(path: string, root: ScriptModule): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  let visited = 0;
  const visit = (module: ScriptModule, prefix: string, depth: number): void => {
    if (depth > DEEPEST || ++visited > MOST_MODULES) {
      const rule = `there must be at most ${MOST_MODULES} modules, ${DEEPEST} deep`;
      throw new UserError("corrupt", `${path}: ${rule}, got more below ${prefix.slice(0, 60)}.`);
    }
    for (const [name, value] of module.attributes) {
      if (value instanceof TorchTensor) tensors.set(`${prefix}${name}`, value);
      else if (value instanceof ScriptModule) visit(value, `${prefix}${name}.`, depth + 1);
    }
  };
  visit(root, "", 0);
  if (tensors.size > 0) return tensors;
  throw new UserError("unsupported", `${path}: a TorchScript program must have parameters, got none.`);
}
