import { ShapeError } from "../core/errors.ts";
import { expand, reshape } from "./broadcasting.ts";
import { formatShape, int64List, operator, resolveAxis, scalar, singleOperator, type Tensor } from "./tensor.ts";

/** Reorders axes: output axis i is input axis `order[i]`. */
export function transpose(x: Tensor, order: readonly number[]): Tensor {
  const axes = order.map((axis) => resolveAxis(axis, x.rank, "transpose"));
  if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
    throw new ShapeError(
      `transpose: the order must name each of ${x.rank} axes once, got ${formatShape(x)} and [${order.join(", ")}]`,
    );
  }
  if (axes.every((axis, i) => axis === i)) return x;
  const inverse = axes.map((_, i) => axes.indexOf(i));
  return singleOperator({
    type: "Transpose",
    inputs: [x],
    attributes: { perm: axes },
    shape: axes.map((axis) => x.shape[axis]),
    dtype: x.dtype,
    gradient: ([g]) => (g ? [transpose(g, inverse)] : []),
  });
}

/** Elements `start … end−1` of one axis, every `step`-th; negative bounds count from the back. */
export function slice(x: Tensor, axis: number, start: number, end: number, step = 1): Tensor {
  const at = resolveAxis(axis, x.rank, "slice");
  const length = x.shape[at];
  const from = start < 0 ? start + length : start;
  const to = Math.min(end < 0 ? end + length : end, length);
  if (from < 0 || to < from || !(step >= 1)) {
    throw new ShapeError(
      `slice: 0 ≤ start ≤ end ≤ ${length} and step ≥ 1 must hold, got ${start}, ${end}, ${step} for axis ${at} of ${formatShape(x)}`,
    );
  }
  const count = Math.ceil((to - from) / step);
  if (count === length) return x;
  return singleOperator({
    type: "Slice",
    inputs: [x, int64List([from]), int64List([to]), int64List([at]), int64List([step])],
    shape: x.shape.map((size, i) => (i === at ? count : size)),
    dtype: x.dtype,
    gradient: ([g]) => {
      if (!g) return [];
      const spread = step === 1 ? g : insertZeros(g, at, step);
      const covered = step === 1 ? count : count * step;
      const before = from;
      const after = length - from - covered;
      // A step can leave zeros past the end: cut those before padding.
      const cut = after < 0 ? slice(spread, at, 0, covered + after) : spread;
      return [pad(cut, at, before, Math.max(after, 0))];
    },
  });
}

/** Each element of `axis` followed by `step − 1` zeros. */
function insertZeros(x: Tensor, axis: number, step: number): Tensor {
  const open = [...x.shape.slice(0, axis + 1), 1, ...x.shape.slice(axis + 1)];
  const padded = pad(reshape(x, open), axis + 1, 0, step - 1);
  return reshape(
    padded,
    x.shape.map((size, i) => (i === axis ? size * step : size)),
  );
}

/** Zeros (or `value`) before and after the elements of one axis. */
export function pad(x: Tensor, axis: number, before: number, after: number, value = 0): Tensor {
  const at = resolveAxis(axis, x.rank, "pad");
  if (!(before >= 0 && after >= 0)) {
    throw new ShapeError(`pad: pads must be ≥ 0, got ${before} and ${after} for axis ${at} of ${formatShape(x)}`);
  }
  if (before === 0 && after === 0) return x;
  const begins = x.shape.map((_, i) => (i === at ? before : 0));
  const ends = x.shape.map((_, i) => (i === at ? after : 0));
  const length = x.shape[at];
  return singleOperator({
    type: "Pad",
    inputs: [x, int64List([...begins, ...ends]), scalar(value)],
    attributes: { mode: "constant" },
    shape: x.shape.map((size, i) => (i === at ? before + size + after : size)),
    gradient: ([g]) => (g ? [slice(g, at, before, before + length)] : []),
  });
}

/** Joins tensors along one axis; all other axes must agree. */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const first = parts[0];
  if (!first) throw new ShapeError("concat: there must be at least one tensor, got none");
  if (parts.length === 1) return first;
  const at = resolveAxis(axis, first.rank, "concat");
  for (const part of parts) {
    if (part.rank !== first.rank || part.shape.some((size, i) => i !== at && size !== first.shape[i])) {
      throw new ShapeError(`concat: axes but ${at} must agree, got ${parts.map((p) => formatShape(p)).join(" and ")}`);
    }
  }
  const lengths = parts.map((part) => part.shape[at]);
  return singleOperator({
    type: "Concat",
    inputs: parts,
    attributes: { axis: at },
    shape: first.shape.map((size, i) => (i === at ? lengths.reduce((a, b) => a + b, 0) : size)),
    dtype: first.dtype,
    gradient: ([g]) => (g ? split(g, at, lengths) : []),
  });
}

/** Cuts one axis into pieces of the given lengths. */
export function split(x: Tensor, axis: number, lengths: readonly number[]): Tensor[] {
  const at = resolveAxis(axis, x.rank, "split");
  if (lengths.reduce((a, b) => a + b, 0) !== x.shape[at]) {
    throw new ShapeError(`split: lengths must add up to axis ${at} of ${formatShape(x)}, got [${lengths.join(", ")}]`);
  }
  if (lengths.length === 1) return [x];
  const shapes = lengths.map((length) => x.shape.map((size, i) => (i === at ? length : size)));
  return operator({
    type: "Split",
    inputs: [x, int64List(lengths)],
    attributes: { axis: at },
    outputs: shapes.map((shape) => ({ shape, dtype: x.dtype })),
    gradient: (pieces) => [
      concat(
        pieces.map((piece, i) => piece ?? expand(scalar(0), shapes[i] as number[])),
        at,
      ),
    ],
  });
}

/** Moves elements of one axis by `shift` places, those past the end coming in again at the start, as `numpy.roll`. */
export function roll(x: Tensor, axis: number, shift: number): Tensor {
  const at = resolveAxis(axis, x.rank, "roll");
  const length = x.shape[at];
  const offset = ((shift % length) + length) % length;
  if (offset === 0) return x;
  return concat([slice(x, at, length - offset, length), slice(x, at, 0, length - offset)], at);
}
