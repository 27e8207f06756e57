import { ShapeError } from "../core/errors.ts";
import { expand, reshape, sum } from "./broadcasting.ts";
import { concat, pad, slice } from "./shaping.ts";
import {
  constant,
  formatShape,
  resolveAxis,
  type Shape,
  scalar,
  singleOperator,
  sizeOf,
  type Tensor,
} from "./tensor.ts";

/**
 * Picks elements of one axis by index, repeats allowed; gradients of repeated elements add up.
 *
 * @param x        [..., N, ...]
 * @param indices  int32 or int64 of any shape, values in [0, N)
 * @returns        x's shape with the axis replaced by the shape of `indices`
 */
export function gather(x: Tensor, indices: Tensor, axis = 0): Tensor {
  const at = resolveAxis(axis, x.rank, "gather");
  if (indices.dtype !== "int32" && indices.dtype !== "int64") {
    throw new ShapeError(`gather: indices must be int32 or int64, got ${indices.dtype}`);
  }
  return singleOperator({
    type: "Gather",
    inputs: [x, indices],
    attributes: { axis: at },
    shape: [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)],
    dtype: x.dtype,
    gradient: ([g]) => {
      if (!g) return [];
      if (at !== 0) throw new ShapeError("gather: a gradient exists along axis 0 alone. Use gatherFixed for others");
      const rowShape = x.shape.slice(1);
      const rows = reshape(g, [indices.size, ...rowShape]);
      return [scatterAdd(x.shape, reshape(indices, [indices.size]), rows)];
    },
  });
}

/** Rows of a table by token id; the field's name for `gather` along the first axis. */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  if (table.rank !== 2) throw new ShapeError(`embedding: the table must be [rows, width], got ${formatShape(table)}`);
  return gather(table, ids);
}

/**
 * Zeros of `shape` with each row of `updates` added at its index of the first axis; repeated indices add up.
 *
 * @param indices  int32 or int64 [R], values in [0, shape[0])
 * @param updates  [R, ...shape[1:]]
 */
export function scatterAdd(shape: Shape, indices: Tensor, updates: Tensor): Tensor {
  const expected = [indices.size, ...shape.slice(1)];
  if (indices.rank !== 1 || formatShape(updates) !== formatShape(expected)) {
    throw new ShapeError(`scatterAdd: updates must be ${formatShape(expected)}, got ${formatShape(updates)}`);
  }
  const column = toInt64(reshape(indices, [indices.size, 1]));
  const rows = Math.max(1, Math.floor(valuesOfOneThread / sizeOf(shape.slice(1))));
  let sums = expand(scalar(0), shape);
  for (let from = 0; from < indices.size; from += rows) {
    const to = Math.min(indices.size, from + rows);
    const part = reshape(slice(column, 0, from, to), [to - from]);
    sums = singleOperator({
      type: "ScatterND",
      inputs: [sums, slice(column, 0, from, to), slice(updates, 0, from, to)],
      attributes: { reduction: "add" },
      shape,
      gradient: ([g]) => (g ? [g, undefined, gather(g, part)] : []),
    });
  }
  return sums;
}

/**
 * ONNX Runtime adds the rows of a ScatterND in several threads at once, and loses some where an index is repeated. It
 * takes one thread for little work, so sums are made of parts of no more than this many values, in place, one after the
 * other: exact, the same at every run, and about as fast.
 */
const valuesOfOneThread = 65_536;

function toInt64(indices: Tensor): Tensor {
  if (indices.dtype === "int64") return indices;
  return singleOperator({
    type: "Cast",
    inputs: [indices],
    attributes: { to: 7 },
    shape: indices.shape,
    dtype: "int64",
  });
}

/**
 * Picks elements of axis 1 by indices known at build time, −1 standing for a zero element. Both directions are plain
 * gathers, since the places an element went to are known too: this is how windows, shifts and patches are cut.
 *
 * @param x        [B, N, ...]
 * @param indices  [M], values in [−1, N)
 * @returns        [B, M, ...]
 */
export function gatherFixed(x: Tensor, indices: Int32Array): Tensor {
  const [batch, count] = x.shape;
  for (const index of indices) {
    if (index < -1 || index >= count)
      throw new ShapeError(`gatherFixed: indices must lie in [-1, ${count}), got ${index}`);
  }
  if (indices.length === count && indices.every((index, i) => index === i)) return x;
  const rest = x.shape.slice(2);
  const needsZero = indices.includes(-1);
  const source = needsZero ? pad(x, 1, 0, 1) : x;
  const picked = needsZero ? indices.map((index) => (index < 0 ? count : index)) : indices;
  const shape = [batch, indices.length, ...rest];
  return singleOperator({
    type: "Gather",
    inputs: [source, constant(picked, [picked.length])],
    attributes: { axis: 1 },
    shape,
    gradient: ([g]) => {
      if (!g) return [];
      const rounds = destinations(indices, count);
      // One gather for each time an element can recur, then their sum.
      const flat = Int32Array.from(rounds.flatMap((round) => [...round]));
      const gathered = gatherFixed(g, flat);
      const toX = rounds.length === 1 ? gathered : sum(reshape(gathered, [batch, rounds.length, count, ...rest]), 1);
      // The source may hold one zero element more than x; nothing of its gradient is wanted.
      return [needsZero ? concat([toX, expand(scalar(0), [batch, 1, ...rest])], 1) : toX];
    },
  });
}

/** For each source element the places that picked it, as rounds: round r holds the r-th place, or −1. */
function destinations(indices: Int32Array, count: number): Int32Array[] {
  const rounds: Int32Array[] = [];
  const seen = new Int32Array(count);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i];
    if (from < 0) continue;
    const round = seen[from]++;
    if (rounds.length <= round) rounds.push(new Int32Array(count).fill(-1));
    (rounds[round] as Int32Array)[from] = i;
  }
  return rounds.length > 0 ? rounds : [new Int32Array(count).fill(-1)];
}
