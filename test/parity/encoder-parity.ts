import { mul, sum } from "../../src/graph/broadcasting.ts";
import { gradients } from "../../src/graph/gradients.ts";
import { constant, type Parameter, type Tensor } from "../../src/graph/tensor.ts";
import { compile, type FeedData } from "../../src/runtime/program.ts";
import { deterministicFill, type FillRule, fillParameters } from "./deterministic-fill.ts";
import { type Fixture, relativeError, summaryError } from "./read-fixture.ts";

/** How far an encoder is from its reference: relative errors, the gradients' by parameter name. */
export interface EncoderErrors {
  output: number;
  loss: number;
  gradients: Map<string, number>;
}

/**
 * Runs an encoder once, forward and backward of Σ output · lossWeights, with the weights that the fixture's reference
 * had. Parameters that differ from the fixture's in name or shape are an error.
 *
 * @param parameters  all that `output` depends on, by name
 * @param feeds       the graph's other inputs
 */
export async function encoderErrors(
  fixture: Fixture,
  parameters: ReadonlyMap<string, Parameter>,
  output: Tensor,
  feeds: Readonly<Record<string, FeedData>>,
): Promise<EncoderErrors> {
  const rules = fixture.json<FillRule[]>("parameters");
  requireSameParameters(rules, parameters);
  const lossWeights = constant(deterministicFill("lossWeights", output.size), output.shape);
  const loss = sum(mul(output, lossWeights));
  const found = gradients(loss, [...parameters.values()]);
  const outputs: Record<string, Tensor> = { output, loss };
  for (const [i, name] of [...parameters.keys()].entries()) {
    const gradient = found[i];
    if (!gradient) throw new Error(`${name}: the loss does not depend on it.`);
    outputs[`gradients/${name}`] = gradient;
  }
  const program = await compile({ outputs, parameters, threads: 1 });
  try {
    const weights = [...fillParameters(rules)].map(([name, { data }]) => [name, data] as const);
    const results = (await program.run(new Map<string, FeedData>([...weights, ...Object.entries(feeds)]))) as Record<
      string,
      Float32Array
    >;
    return {
      output: relativeError(results.output, fixture.tensor("output").data),
      loss: relativeError(results.loss, fixture.tensor("loss").data),
      gradients: gradientErrors(fixture, rules, results),
    };
  } finally {
    await program.dispose();
  }
}

function requireSameParameters(rules: readonly FillRule[], parameters: ReadonlyMap<string, Parameter>): void {
  const line = (name: string, shape: readonly number[]): string => `${name} [${shape.join(", ")}]`;
  const expected = rules.map(({ name, shape }) => line(name, shape)).sort();
  const actual = [...parameters].map(([name, { shape }]) => line(name, shape)).sort();
  const missing = expected.filter((text) => !actual.includes(text));
  const extra = actual.filter((text) => !expected.includes(text));
  if (missing.length + extra.length > 0) {
    throw new Error(
      `The reference has ${missing.join(", ") || "no more"}; the model has ${extra.join(", ") || "no more"}.`,
    );
  }
}

/** Against whole gradients where the fixture has them, else against the rows of their summaries. */
function gradientErrors(
  fixture: Fixture,
  rules: readonly FillRule[],
  results: Readonly<Record<string, Float32Array>>,
): Map<string, number> {
  const summaries = fixture.tensors.get("gradientSummaries");
  return new Map(
    rules.map(({ name }, row) => {
      const gradient = results[`gradients/${name}`];
      const error = summaries
        ? summaryError(gradient, summaries.data.subarray(row * 10, row * 10 + 10))
        : relativeError(gradient, fixture.tensor(`gradients/${name}`).data);
      return [name, error];
    }),
  );
}

/** The two images of the encoder fixtures, from PyTorch's [2, 3, S, S] to [2, S, S, 3]. */
export function fixtureImages(size: number): Float32Array {
  const planes = deterministicFill("images", 2 * 3 * size * size);
  const pixels = size * size;
  const images = new Float32Array(planes.length);
  for (let image = 0; image < 2; image++) {
    for (let channel = 0; channel < 3; channel++) {
      for (let i = 0; i < pixels; i++) {
        images[(image * pixels + i) * 3 + channel] = planes[(image * 3 + channel) * pixels + i];
      }
    }
  }
  return images;
}

/** The worst gradient as `name: error`, to be read when an assertion fails. */
export function worstGradient({ gradients: errors }: EncoderErrors): { name: string; error: number } {
  const [name, error] = [...errors].reduce((worst, entry) => (entry[1] > worst[1] ? entry : worst));
  return { name, error };
}
