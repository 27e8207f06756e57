import { ShapeError } from "../core/errors.ts";
import { reshape, sum } from "./broadcasting.ts";
import { slice, transpose } from "./shaping.ts";
import { formatShape, type Shape, singleOperator, type Tensor } from "./tensor.ts";

export interface ConvolutionOptions {
  stride?: number | readonly number[];
  padding?: number | readonly number[]; // zeros on either side
  dilation?: number | readonly number[];
  groups?: number;
}

interface Geometry {
  stride: number[];
  padding: number[];
  dilation: number[];
  groups: number;
}

function resolveGeometry(options: ConvolutionOptions, axes: number): Geometry {
  const list = (value: number | readonly number[] | undefined, fallback: number): number[] => {
    if (value === undefined) return new Array<number>(axes).fill(fallback);
    return typeof value === "number" ? new Array<number>(axes).fill(value) : [...value];
  };
  return {
    stride: list(options.stride, 1),
    padding: list(options.padding, 0),
    dilation: list(options.dilation, 1),
    groups: options.groups ?? 1,
  };
}

/**
 * Convolution (cross-correlation) over one, two or three space axes.
 *
 * @param x       [B, C, ...space]
 * @param weight  [K, C / groups, ...kernel]
 * @param bias    [K], or absent
 * @returns       [B, K, ...], each space axis ⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1
 */
export function convolution(x: Tensor, weight: Tensor, bias?: Tensor, options: ConvolutionOptions = {}): Tensor {
  const axes = x.rank - 2;
  const geometry = resolveGeometry(options, axes);
  const { stride, padding, dilation, groups } = geometry;
  const [batch, channels] = x.shape;
  const outputs = weight.shape[0];
  if (axes < 1 || weight.rank !== x.rank || weight.shape[1] * groups !== channels || outputs % groups !== 0) {
    throw new ShapeError(
      `convolution: x [B, C, ...] must fit weight [K, C/groups, ...], got ${formatShape(x)}, ${formatShape(weight)} and groups=${groups}`,
    );
  }
  if (bias && (bias.rank !== 1 || bias.shape[0] !== outputs)) {
    throw new ShapeError(`convolution: bias must be [${outputs}], got ${formatShape(bias)}`);
  }
  for (const values of [stride, padding, dilation]) {
    if (values.length !== axes) {
      throw new ShapeError(
        `convolution: one stride, padding and dilation for each of ${axes} space axes of ${formatShape(x)}, got [${values.join(", ")}]`,
      );
    }
  }
  const kernel = weight.shape.slice(2);
  const space = x.shape.slice(2).map((size, i) => {
    const reach = dilation[i] * (kernel[i] - 1) + 1;
    const length = Math.floor((size + 2 * padding[i] - reach) / stride[i]) + 1;
    if (!(length >= 1)) {
      throw new ShapeError(
        `convolution: the kernel must fit the padded input, got ${formatShape(x)} and reach ${reach}`,
      );
    }
    return length;
  });
  return singleOperator({
    type: "Conv",
    inputs: bias ? [x, weight, bias] : [x, weight],
    attributes: convolutionAttributes(geometry, kernel, padding),
    shape: [batch, outputs, ...space],
    gradient: ([g]) => {
      if (!g) return [];
      const toX = convolutionTranspose(g, weight, x.shape, geometry);
      const toWeight = weightGradient(x, g, weight.shape, geometry);
      const others = x.shape.map((_, i) => i).filter((i) => i !== 1);
      return [toX, toWeight, bias ? sum(g, others) : undefined];
    },
  });
}

function convolutionAttributes(geometry: Geometry, kernel: Shape, ends: readonly number[]) {
  return {
    kernel_shape: kernel,
    strides: geometry.stride,
    dilations: geometry.dilation,
    pads: [...geometry.padding, ...ends],
    group: geometry.groups,
  };
}

/** The adjoint of `convolution` in its input: [B, K, ...] back to `shape`, the shape of that input. */
function convolutionTranspose(g: Tensor, weight: Tensor, shape: Shape, geometry: Geometry): Tensor {
  const { stride, padding, dilation } = geometry;
  const kernel = weight.shape.slice(2);
  // What the strides left over at the end of each axis gets no gradient, yet must be there.
  const leftOver = kernel.map((size, i) => {
    const reached = (g.shape[i + 2] - 1) * stride[i] + dilation[i] * (size - 1) + 1 - 2 * padding[i];
    return shape[i + 2] - reached;
  });
  return singleOperator({
    type: "ConvTranspose",
    inputs: [g, weight],
    attributes: { ...convolutionAttributes(geometry, kernel, padding), output_padding: leftOver },
    shape,
  });
}

/**
 * The adjoint of `convolution` in its weight: a convolution of x by g with batch and channel axes swapped and stride
 * and dilation swapped, cropped to the kernel's size.
 */
function weightGradient(x: Tensor, g: Tensor, shape: Shape, geometry: Geometry): Tensor {
  const { stride, padding, dilation, groups } = geometry;
  const [batch, channels] = x.shape;
  const outputs = g.shape[1];
  const perGroup = channels / groups;
  const spaceX = x.shape.slice(2);
  const spaceG = g.shape.slice(2);
  const spaceAxes = spaceX.map((_, i) => i);

  // Input channels of one group become the batch; groups × batch become the channels.
  const groupedX = reshape(x, [batch, groups, perGroup, ...spaceX]);
  const images = reshape(transpose(groupedX, [2, 1, 0, ...spaceAxes.map((i) => i + 3)]), [
    perGroup,
    groups * batch,
    ...spaceX,
  ]);
  const kernels = transpose(g, [1, 0, ...spaceAxes.map((i) => i + 2)]); // [K, B, ...]
  const raw = convolution(images, kernels, undefined, { stride: dilation, padding, dilation: stride, groups });
  let cropped = raw; // [C/groups, K, ≥ kernel]
  for (const i of spaceAxes) cropped = slice(cropped, i + 2, 0, shape[i + 2]);
  if (raw.shape[1] !== outputs || spaceG.length !== spaceX.length) {
    throw new ShapeError(`convolution: weight gradient must have ${outputs} channels, got ${formatShape(raw)}`);
  }
  return transpose(cropped, [1, 0, ...spaceAxes.map((i) => i + 2)]);
}
