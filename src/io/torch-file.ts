import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";
import { type StoredTensor, toFloat32 } from "./safetensors.ts";
import { DTYPE_BYTES } from "./safetensors-header.ts";
import { type StoredEntry, storedEntries } from "./stored-zip.ts";
import { type TorchTensor, tensorsInPickle } from "./torch-pickle.ts";

/** The pickle of a large model's dictionary is a few hundred kilobytes. */
const LARGEST_PICKLE = 8 * 2 ** 20; // bytes; each can make a dictionary of some two hundred
/** Views may share a storage (tied weights), but a small file must not claim a whole memory. */
const MOST_VALUES_A_BYTE = 8;

/**
 * Reads the tensors of a PyTorch file as float32: `torch.save` of a state dictionary (PyTorch ≥ 1.6), or a TorchScript
 * archive. Nothing in the file is executed, a program's code is not even read. Which tensors count, and under what names:
 * {@link tensorsInPickle}.
 *
 * @throws UserError naming the file: not-found, unreadable, corrupt, too-large, unsupported (the format before 1.6, objects
 *         that are no tensors)
 */
export async function readTorchFile(path: string): Promise<Map<string, StoredTensor>> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const entries = await storedEntries(path, file);
    const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickle === undefined) throw new UserError("corrupt", `${path}: must hold data.pkl, as torch.save writes it.`);
    const folder = pickle.slice(0, -"data.pkl".length);
    const source = { path, file, entries, folder };
    const order = entries.get(`${folder}byteorder`);
    if (order && new TextDecoder().decode(await readEntry(source, order)) !== "little") {
      throw new UserError("unsupported", `${path}: must be little-endian, got another byte order.`);
    }
    const entry = entries.get(pickle) as StoredEntry;
    if (entry.length > LARGEST_PICKLE) {
      throw new UserError("too-large", `${path}: data.pkl must be under ${LARGEST_PICKLE} bytes, got ${entry.length}.`);
    }
    return await readTensors(source, tensorsInPickle(path, await readEntry(source, entry)));
  } catch (error) {
    throw fileError(path, error);
  } finally {
    await file?.close();
  }
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
