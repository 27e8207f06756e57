import { ShapeError } from "../core/errors.ts";
import { expand, reshape } from "./broadcasting.ts";
import { constant, formatShape, operator, type Shape, scalar, singleOperator, sizeOf, type Tensor } from "./tensor.ts";

export interface PoolingOptions {
  kernel: number | readonly number[];
  stride?: number | readonly number[]; // the kernel's size by default
  padding?: number | readonly number[];
}

interface PoolingPlan {
  kernel: number[];
  attributes: { kernel_shape: number[]; strides: number[]; pads: number[] };
  shape: number[];
}

function planPooling(name: string, x: Tensor, options: PoolingOptions): PoolingPlan {
  const axes = x.rank - 2;
  const list = (value: number | readonly number[]): number[] =>
    typeof value === "number" ? new Array<number>(Math.max(axes, 0)).fill(value) : [...value];
  const kernel = list(options.kernel);
  const strides = list(options.stride ?? options.kernel);
  const padding = list(options.padding ?? 0);
  if (axes < 1 || [kernel, strides, padding].some((values) => values.length !== axes)) {
    throw new ShapeError(`${name}: x must be [B, C, ...space] with one kernel size an axis, got ${formatShape(x)}`);
  }
  const space = kernel.map((size, i) => Math.floor((x.shape[i + 2] + 2 * padding[i] - size) / strides[i]) + 1);
  if (space.some((size) => size < 1) || kernel.some((size, i) => 2 * padding[i] > size)) {
    throw new ShapeError(
      `${name}: kernel [${kernel.join(", ")}] must fit ${formatShape(x)}, padding at most half of it`,
    );
  }
  return {
    kernel,
    attributes: { kernel_shape: kernel, strides, pads: [...padding, ...padding] },
    shape: [x.shape[0], x.shape[1], ...space],
  };
}

/** The largest value under a sliding kernel; x [B, C, ...space]. The gradient goes to the first largest value. */
export function maxPool(x: Tensor, options: PoolingOptions): Tensor {
  const plan = planPooling("maxPool", x, options);
  const outputs: Tensor[] = operator({
    type: "MaxPool",
    inputs: [x],
    attributes: plan.attributes,
    outputs: [{ shape: plan.shape }, { shape: plan.shape, dtype: "int64" }],
    gradient: ([g]) => {
      if (!g) return [];
      const places = reshape(outputs[1] as Tensor, [g.size]); // indices into the whole of x
      const flat = singleOperator({
        type: "ScatterElements",
        inputs: [expand(scalar(0), [x.size]), places, reshape(g, [g.size])],
        attributes: { axis: 0, reduction: "add" },
        shape: [x.size],
      });
      return [reshape(flat, x.shape)];
    },
  });
  return outputs[0] as Tensor;
}

/** The mean under a sliding kernel, padding counted as zeros; x [B, C, ...space]. */
export function averagePool(x: Tensor, options: PoolingOptions): Tensor {
  const plan = planPooling("averagePool", x, options);
  const { strides, pads } = plan.attributes;
  return singleOperator({
    type: "AveragePool",
    inputs: [x],
    attributes: { ...plan.attributes, count_include_pad: 1 },
    shape: plan.shape,
    gradient: ([g]) => {
      if (!g) return [];
      const [batch, channels] = x.shape;
      const planes: Shape = [batch * channels, 1, ...g.shape.slice(2)];
      const leftOver = plan.kernel.map((size, i) => {
        const reached = (g.shape[i + 2] - 1) * strides[i] + size - 2 * pads[i];
        return x.shape[i + 2] - reached;
      });
      const share = new Float32Array(sizeOf(plan.kernel)).fill(1 / sizeOf(plan.kernel));
      const spread = singleOperator({
        type: "ConvTranspose",
        inputs: [reshape(g, planes), constant(share, [1, 1, ...plan.kernel])],
        attributes: { ...plan.attributes, output_padding: leftOver },
        shape: [batch * channels, 1, ...x.shape.slice(2)],
      });
      return [reshape(spread, x.shape)];
    },
  });
}
