import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/program.ts";
import { readLedger } from "../src/evaluation/ledger.ts";
import { cellText, detectionPage, detectionRows } from "../src/evaluation/report/detection-table.ts";
import { writeFileAtomic } from "../src/io/atomic-files.ts";
import { loadModel } from "../src/zoo/load-model.ts";

/**
 * The right half of Florence's Table 7: each set of boxes at every exposure, as `table.json` and `table.html` in the
 * output folder, from the ledger there. Stopped or killed, the same command goes on.
 *
 * npm run evaluate-detection -- --data DATA --out DIR [--detector NAME|DIR] [--model NAME] [--sets a,b] [--shots 0,1,full]
 *   [--seeds 3,30,300] [--side N] [--shot-epochs N[,N…]] [--shot-steps N[,N…]] [--steps N[,N…]] [--batch N]
 *   [--optimizer NAME] [--learning-rate R] [--classifier-rate F] [--matrix-rate F] [--augment NAME] [--average D] [--fast]
 *
 * Zero-shot needs a detector that finds objects of any kind: the bundled one unless `--detector` names another. The tunings
 * start from it. `--shot-epochs` with the least number of `--shot-steps`, and `--steps`, of the tunings on few and on all
 * pictures, are one number or one a set, by default as `updates` has them; what else is left out is as in
 * `florence exposure detection`. `--fast` only shows that everything runs.
 */

/** Passes and updates of few-shot tunings, and updates on all pictures, that gave the scores of docs/detection.md. */
const updates: Readonly<Record<string, Readonly<Record<"shot-epochs" | "shot-steps" | "steps", number>>>> = {
  packages: { "shot-epochs": 16, "shot-steps": 40, steps: 300 },
  "chess-pieces": { "shot-epochs": 80, "shot-steps": 150, steps: 800 },
  pothole: { "shot-epochs": 60, "shot-steps": 100, steps: 2800 },
  aquarium: { "shot-epochs": 20, "shot-steps": 100, steps: 700 },
};
const otherUpdates = { "shot-epochs": 40, "shot-steps": 100, steps: 1200 }; // of a set that has no line above
const { values } = parseArgs({
  options: {
    data: { type: "string" },
    out: { type: "string" },
    detector: { type: "string" },
    model: { type: "string", default: "florence-nano" },
    sets: { type: "string", default: Object.keys(updates).join(",") },
    shots: { type: "string", default: "0,1,3,5,10,full" },
    seeds: { type: "string", default: "3,30,300" },
    side: { type: "string", default: "192" },
    "shot-epochs": { type: "string" },
    "shot-steps": { type: "string" },
    steps: { type: "string" },
    batch: { type: "string", default: "4" },
    optimizer: { type: "string" },
    "learning-rate": { type: "string" },
    "classifier-rate": { type: "string" },
    "matrix-rate": { type: "string" },
    augment: { type: "string" },
    average: { type: "string" },
    fast: { type: "boolean", default: false },
  },
});
if (values.data === undefined || values.out === undefined) {
  console.error("usage: npm run evaluate-detection -- --data DATA --out DIR [--detector DIR] [--sets a,b] [--fast]");
  process.exit(2);
}
const out = resolve(values.out);
await mkdir(out, { recursive: true });
const ledger = join(out, "ledger.jsonl");
const stopping = new AbortController();
process.once("SIGINT", () => stopping.abort(new Error("stopped")));
process.once("SIGTERM", () => stopping.abort(new Error("stopped")));

const passedOn = [
  ...(["optimizer", "learning-rate", "classifier-rate", "matrix-rate"] as const),
  ...(["augment", "average", "detector"] as const),
];
const sets = values.sets.split(",");
const steps = perSet("steps");
const shotEpochs = perSet("shot-epochs");
const shotSteps = perSet("shot-steps");
for (const [i, set] of sets.entries()) {
  if (stopping.signal.aborted) break;
  const words = [
    ...["exposure", "detection", join(values.data, set), "--ledger", ledger, "--runs", join(out, "runs")],
    ...["--model", values.model, "--side", values.fast ? "128" : values.side, "--seeds", values.seeds],
    ...["--shots", values.shots, "--shot-epochs", values.fast ? "0" : (shotEpochs[i] as string)],
    ...["--shot-steps", values.fast ? "10" : (shotSteps[i] as string)],
    ...["--steps", values.fast ? "30" : (steps[i] as string), "--batch", values.batch],
    ...passedOn.flatMap((option) => (values[option] === undefined ? [] : [`--${option}`, values[option]])),
  ];
  console.error(`florence ${words.join(" ")}`);
  const { stdout, stderr, env } = process;
  const host = { stdout, stderr, environment: env, signal: stopping.signal, loadModel, commands, version: "" };
  const code = await runCli(words, host);
  if (code !== 0 && code !== 3) process.exitCode = code; // 3: annotations were left out, as reported
  await writeTable();
}

/** One value for each set from a list of as many or of one. */
function perSet(option: "steps" | "shot-steps" | "shot-epochs"): string[] {
  const given = values[option];
  if (given === undefined) return sets.map((set) => String((updates[set] ?? otherUpdates)[option]));
  const list = given.split(",");
  if (list.length === 1) return sets.map(() => list[0] as string);
  if (list.length === sets.length) return list;
  console.error(
    `--${option}: must be one number or one for each of ${sets.length} sets, got ${list.length}. Correct it.`,
  );
  process.exit(2);
}

/** Writes the table of what the ledger has so far. */
async function writeTable(): Promise<void> {
  const { entries } = await readLedger(ledger, { allowMissing: true });
  const scores = [...new Map(entries.map((entry) => [keyOf(entry), entry])).values()];
  if (scores.length === 0) return;
  const rows = detectionRows(scores);
  await writeFileAtomic(join(out, "table.json"), `${JSON.stringify({ rows }, null, 2)}\n`);
  await writeFileAtomic(join(out, "table.html"), await detectionPage(scores, ledger));
  for (const { set, cells } of rows) {
    console.error(`${set}: ${cells.map((cell) => `${cell.shots}: ${cellText(cell)}`).join("  ")}`);
  }
}

/** Of scores of one set, exposure and seed the latest counts. */
function keyOf({ data, protocol, seed }: { data: { name: string }; protocol: object; seed: number | null }): string {
  return JSON.stringify([data.name, (protocol as { shots?: unknown }).shots, seed]);
}
