/**
 * A linear probe (L2-regularised logistic regression, λ = 1/0.316 as in CLIP's README) on 50,000 × 512 features with 10
 * and with 100 classes, against scikit-learn on the same features, the two interleaved. Both stop at 1000 iterations or
 * where no component of the mean loss's gradient is above 1e-4.
 *
 *   npm run bench:probe -- --python PYTHON_WITH_SKLEARN [--rounds 7] [--rows 50000] [--dim 512] [--lambda 3.16]
 *
 * Ends with `ratio <number>` for each number of classes: scikit-learn's time over ours, median, higher is better.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Rng } from "../src/core/rng.ts";
import { topKAccuracy } from "../src/metrics/accuracy.ts";
import { fitLogisticRegression } from "../src/tasks/logistic-regression.ts";
import { scoreRows } from "../src/tasks/score-rows.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "/usr/bin/python3" },
    rounds: { type: "string", default: "7" },
    rows: { type: "string", default: "50000" },
    dim: { type: "string", default: "512" },
    lambda: { type: "string", default: String(1 / 0.316) },
  },
});
const [rounds, rows, dim, lambda] = [values.rounds, values.rows, values.dim, values.lambda].map(Number);

/** Features as encoders give them: a falling spectrum, length 10, classes that overlap. */
function makeExamples(classes: number): { features: Float32Array; labels: Int32Array } {
  const rng = new Rng(classes);
  const spread = Float64Array.from({ length: dim }, (_, d) => (d + 1) ** -0.5);
  const centres = Float64Array.from({ length: classes * dim }, (_, i) => 0.1 * spread[i % dim] * rng.normal());
  const labels = Int32Array.from({ length: rows }, () => rng.int(classes));
  const features = new Float32Array(rows * dim);
  for (const [row, label] of labels.entries()) {
    const example = spread.map((scale, d) => centres[label * dim + d] + scale * rng.normal());
    const length = Math.hypot(...example);
    features.set(
      example.map((value) => (10 * value) / length),
      row * dim,
    );
  }
  return { features, labels };
}

const readySchema = z.looseObject({ ready: z.literal(true), sklearn: z.string() });
const fitSchema = z.looseObject({
  milliseconds: z.number(),
  iterations: z.number(),
  loss: z.number(),
  accuracy: z.number(),
});

/** The Python process: a line of JSON in, a line of JSON out. */
class Sklearn {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string) {
    // These two variables slow a current BLAS down; the peer runs without them.
    const { OPENBLAS_CORETYPE: _type, OPENBLAS_L2_SIZE: _size, ...environment } = process.env;
    const script = new URL("../scripts/fixtures/sklearn_probe.py", import.meta.url).pathname;
    this.#child = spawn(python, [script], { env: environment });
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async read(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("bench:probe: the Python process ended early. Check that --python has scikit-learn");
    return JSON.parse(value as string);
  }

  async ask(command: Record<string, unknown>): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    return this.read();
  }

  end(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }
}

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] as number;

async function compare(sklearn: Sklearn, version: string, classes: number, folder: string): Promise<number> {
  const { features, labels } = makeExamples(classes);
  const paths = { features: join(folder, "features.f32"), labels: join(folder, "labels.i32") };
  await writeFile(paths.features, features);
  await writeFile(paths.labels, labels);
  await sklearn.ask({ ...paths, dim });
  const pairs: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    const fit = await fitLogisticRegression({ features, dim }, { kind: "one", labels, classes }, { lambda });
    const ours = performance.now() - started;
    const theirs = fitSchema.parse(await sklearn.ask({ lambda }));
    pairs.push({ ours, theirs: theirs.milliseconds });
    if (round === 0) {
      const scores = await scoreRows({ features, dim }, fit.classifier);
      const accuracy = topKAccuracy(scores, labels, classes);
      const { loss, iterations, evaluations, stopped } = fit;
      console.log(
        `${classes} classes, ours: loss ${loss.toFixed(7)}, accuracy ${accuracy.toFixed(5)}, ${iterations} iterations (${evaluations} evaluations), ${stopped}`,
      );
      console.log(
        `${classes} classes, scikit-learn ${version}: loss ${theirs.loss.toFixed(7)}, accuracy ${theirs.accuracy.toFixed(5)}, ${theirs.iterations} iterations`,
      );
    }
    console.log(
      `${classes} classes, round ${round + 1}: ours ${ours.toFixed(0)} ms, theirs ${theirs.milliseconds.toFixed(0)} ms`,
    );
  }
  return median(pairs.map(({ ours, theirs }) => theirs / ours));
}

const folder = await mkdtemp(join(tmpdir(), "florence-bench-probe-"));
const sklearn = new Sklearn(values.python);
try {
  const { sklearn: version } = readySchema.parse(await sklearn.read());
  const ratios: [classes: number, ratio: number][] = [];
  for (const classes of [10, 100]) ratios.push([classes, await compare(sklearn, version, classes, folder)]);
  for (const [classes, ratio] of ratios) {
    console.log(`${rows} × ${dim}, ${classes} classes, median of ${rounds}:`);
    console.log(`ratio ${ratio.toFixed(2)}`);
  }
} finally {
  sklearn.end();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
