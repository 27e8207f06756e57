import { describe, expect, it } from "vitest";
import { matmul } from "../../src/graph/matrix.ts";
import { Parameter } from "../../src/graph/tensor.ts";
import { ClipTransformer } from "../../src/models/text-encoder/clip-transformer.ts";
import { textInputs } from "../../src/models/text-encoder/text-batch.ts";
import { namedParameters, zeros } from "../../src/nn/module.ts";
import { encoderErrors, worstGradient } from "./encoder-parity.ts";
import { readFixture } from "./read-fixture.ts";

interface ReferenceConfig {
  vocabulary: number;
  context: number;
  width: number;
  layers: number;
  heads: number;
  embed: number;
}

/** The ids, and 1 for each text's tokens up to its end, which is `end`. */
function tokenFeeds(tokens: Float32Array, length: number, end: number) {
  const mask = new Float32Array(tokens.length);
  for (let from = 0; from < tokens.length; from += length) {
    mask.fill(1, from, tokens.indexOf(end, from) + 1);
  }
  return { "text.ids": Int32Array.from(tokens), "text.mask": mask };
}

describe("CLIP's text transformer against PyTorch in float64", () => {
  it.each(["clip-text-small", "clip-text-full"])("%s", async (name) => {
    const fixture = await readFixture(name);
    const config = fixture.json<ReferenceConfig>("config");
    const encoder = new ClipTransformer({
      kind: "clip-transformer",
      vocabulary: config.vocabulary,
      contextLength: config.context,
      width: config.width,
      heads: config.heads,
      layers: config.layers,
      activation: "quick-gelu",
    });
    const projection = new Parameter([config.width, config.embed], zeros);
    const parameters = namedParameters(encoder).set("projection", projection);
    const tokens = fixture.tensor("tokens");
    const feeds = tokenFeeds(tokens.data, config.context, config.vocabulary - 1);
    const output = matmul(encoder.forward(textInputs(tokens.shape[0], config.context)), projection);

    const errors = await encoderErrors(fixture, parameters, output, feeds);
    const tolerance = fixture.json<{ forward: number; gradients: number }>("tolerance");
    expect(errors.output).toBeLessThan(tolerance.forward);
    expect(errors.loss).toBeLessThan(tolerance.forward);
    const worst = worstGradient(errors);
    expect(worst.error, worst.name).toBeLessThan(tolerance.gradients);
  });
});
