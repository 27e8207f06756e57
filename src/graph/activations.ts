import { add, mul } from "./broadcasting.ts";
import { erf, exp, relu, sigmoid, sub } from "./elementwise.ts";
import { alias, singleOperator, type Tensor } from "./tensor.ts";

/** x·Φ(x) with the normal distribution's Φ, by erf and not by tanh. Hendrycks and Gimpel, arXiv:1606.08415. */
export function gelu(x: Tensor): Tensor {
  return singleOperator({
    type: "Gelu",
    inputs: [x],
    shape: x.shape,
    // Φ(x) + x·φ(x), with as few passes over memory as it can be said in.
    gradient: ([g]) => {
      if (!g) return [];
      const cumulative = add(mul(erf(mul(x, Math.SQRT1_2)), 0.5), 0.5);
      const density = exp(mul(mul(x, x), -0.5));
      const slope = add(cumulative, mul(mul(x, 1 / Math.sqrt(2 * Math.PI)), density));
      return [mul(g, slope)];
    },
  });
}

/** GELU by its tanh formula, ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), which JAX and SigLIP use. arXiv:1606.08415. */
export function geluTanh(x: Tensor): Tensor {
  return singleOperator({
    type: "Gelu",
    inputs: [x],
    attributes: { approximate: "tanh" },
    shape: x.shape,
    gradient: ([g]) => {
      if (!g) return [];
      // ½(1 + tanh u) = σ(2u), so dy/dx = σ + x·σ·(1−σ)·2u′.
      const square = mul(x, x);
      const doubled = 2 * Math.sqrt(2 / Math.PI);
      const gate = sigmoid(mul(mul(x, doubled), add(mul(square, 0.044715), 1)));
      const inner = mul(add(mul(square, 3 * 0.044715), 1), doubled);
      return [mul(g, mul(gate, add(mul(mul(x, inner), sub(1, gate)), 1)))];
    },
  });
}

/** x·σ(1.702x), the cheaper GELU of OpenAI's CLIP. */
export function quickGelu(x: Tensor): Tensor {
  const alpha = 1.702;
  const y: Tensor = singleOperator({
    type: "QuickGelu",
    domain: "com.microsoft",
    inputs: [x],
    attributes: { alpha: { float: alpha } },
    shape: x.shape,
    gradient: ([g]) => {
      if (!g) return [];
      const gate = sigmoid(mul(x, alpha));
      // dy/dx = σ + αx·σ·(1−σ) = σ + αy·(1−σ)
      return [mul(g, add(gate, mul(mul(y, alpha), sub(1, gate))))];
    },
  });
  return y;
}

/** max(x, 0)², which costs two passes in each direction. So et al., arXiv:2109.08668. */
export function squaredRelu(x: Tensor): Tensor {
  const positive = relu(x);
  const squared = mul(positive, positive);
  // 2·max(x, 0) at once: by the rules of product and ReLU it would be four passes.
  return alias([squared], [x], ([g]) => (g ? [mul(g, mul(positive, 2))] : []))[0] as Tensor;
}

export type ActivationName = "gelu" | "gelu-tanh" | "quick-gelu" | "squared-relu" | "relu";

export const activations: Readonly<Record<ActivationName, (x: Tensor) => Tensor>> = {
  gelu,
  "gelu-tanh": geluTanh,
  "quick-gelu": quickGelu,
  "squared-relu": squaredRelu,
  relu,
};
