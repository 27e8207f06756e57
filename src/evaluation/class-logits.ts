import { linear } from "../graph/matrix.ts";
import { input } from "../graph/tensor.ts";
import { compile } from "../runtime/program.ts";

/** A linear classifier over image rows: logits are row · weight + bias. */
export interface LinearClassifier {
  readonly weight: Float32Array; // [classes, dim]
  readonly bias?: Float32Array; // [classes]
}

/** The logits of some rows, one after the other. */
export interface LogitBlock {
  readonly start: number; // place of the first row
  readonly logits: Float32Array; // [rows of the block, classes]
}

const valuesPerBlock = 4e6;

/**
 * The logits of every row, in blocks of a few megabytes each, so that thousands of classes need no more memory.
 *
 * @param rows  [N, dim]
 */
export async function* classLogits(
  rows: Float32Array,
  dim: number,
  { weight, bias }: LinearClassifier,
): AsyncGenerator<LogitBlock> {
  const classes = weight.length / dim;
  const count = rows.length / dim;
  const perBlock = Math.max(1, Math.min(count, Math.floor(valuesPerBlock / Math.max(classes, dim))));
  const program = await compile({
    outputs: {
      logits: linear(input("rows", [perBlock, dim]), input("weight", [classes, dim]), input("bias", [classes])),
    },
  });
  try {
    const feeds = { weight, bias: bias ?? new Float32Array(classes) };
    for (let start = 0; start < count; start += perBlock) {
      const block = rows.subarray(start * dim, (start + perBlock) * dim);
      const isShort = block.length < perBlock * dim;
      const padded = isShort ? new Float32Array(perBlock * dim) : block;
      if (isShort) padded.set(block);
      const { logits } = await program.run({ ...feeds, rows: padded });
      yield { start, logits: (logits as Float32Array).subarray(0, (block.length / dim) * classes) };
    }
  } finally {
    await program.dispose();
  }
}
