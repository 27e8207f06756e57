/**
 * Scores a model on the evaluation sets of a folder: a ledger, curves, a report and a Markdown table in --out. Started
 * again, it goes on where it was. Sets that are not in the folder are passed over, and named.
 *
 *   npm run evaluate-tasks -- --data DATA --out runs/evaluation [--model florence-nano] [--fast]
 *
 * --fast leaves out the probes on 50,000 and 60,000 images, and tuning.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readLedger } from "../src/evaluation/ledger.ts";
import { groupBySeeds, type SeedSummary } from "../src/evaluation/seed-summary.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    out: { type: "string", default: "runs/evaluation" },
    model: { type: "string", default: "florence-nano" },
    fast: { type: "boolean", default: false },
  },
});
if (values.data === undefined) throw new Error("evaluate-tasks: --data FOLDER is needed.");
const out = resolve(values.out);
const ledger = join(out, "ledger.jsonl");

/** One command line after `florence`; `set` is a folder of --data. */
interface Run {
  readonly set: string;
  readonly words: readonly string[]; // SET stands for the folder
  readonly isLong?: boolean;
}

const curve = (set: string, ...more: string[]): Run => ({
  set,
  words: ["exposure", "SET", "--plot", join(out, `${set}${more.length > 0 ? "-tuned" : ""}-exposure.svg`), ...more],
});

const episodes = ["--method", "tune", "--episodes", "12"]; // about 40 seconds each
const tuning = ["--head-start", "probe", "--learning-rate", "1e-3"];

const runs: readonly Run[] = [
  curve("cats-dogs"),
  curve("sign-digits"),
  { set: "flickr8k-1000", words: ["eval", "retrieval", "SET", "--split", "last:200"] },
  { set: "sign-digits", words: ["eval", "few-shot", "SET", "--shots", "5,20,50"] },
  { set: "cifar10", words: ["eval", "zero-shot", "SET"] },
  { set: "fashion-mnist", words: ["eval", "zero-shot", "SET"] },
  { set: "cifar10", words: ["eval", "few-shot", "SET", "--split", "test", "--shots", "5,20,50"] },
  { set: "sign-digits", words: ["eval", "few-shot", "SET", "--shots", "5", ...episodes], isLong: true },
  { ...curve("sign-digits", "--methods", "linear-probe,fine-tune", "--tuning", "head", ...tuning), isLong: true },
  { set: "cifar10", words: ["eval", "linear-probe", "SET", "--shots", "10", "--seeds", "3,30,300"], isLong: true },
  { set: "cifar10", words: ["eval", "linear-probe", "SET"], isLong: true },
  { set: "fashion-mnist", words: ["eval", "linear-probe", "SET"], isLong: true },
];

await mkdir(out, { recursive: true });
for (const { set, words, isLong } of runs) {
  const folder = join(resolve(values.data), set);
  if (isLong && values.fast) continue;
  if (!existsSync(folder)) {
    console.error(`${set}: not in ${values.data}, passed over`);
    continue;
  }
  const line = [...words.map((word) => (word === "SET" ? folder : word)), "--ledger", ledger, "--model", values.model];
  console.error(`florence ${line.join(" ")}`);
  const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
  const { status } = spawnSync(process.execPath, ["--import", "tsx", main, ...line], { stdio: "inherit" });
  if (status !== 0 && status !== 3) process.exit(status ?? 1); // 3: some pictures failed, and were named
}
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
spawnSync(process.execPath, ["--import", "tsx", main, "eval", "report", ledger, "--out", join(out, "report.html")], {
  stdio: "inherit",
});
const table = markdownTable(groupBySeeds((await readLedger(ledger)).entries));
await writeFile(join(out, "scores.md"), table);
console.log(table);

function markdownTable(summaries: readonly SeedSummary[]): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const lines = summaries.map(({ entries, score, interval: [low, high], chance }) => {
    const [{ data, task, metric, protocol, n }] = entries;
    const shots = protocol.shots === undefined ? "" : `, ${protocol.shots} shots`;
    const seeds = entries.length > 1 ? `, ${entries.length} seeds` : "";
    const what = `${data.name}, ${data.split}: ${task}${shots}${seeds}, ${metric}`;
    return `| ${what} | **${percent(score)}** | ${percent(low)} – ${percent(high)} | ${percent(chance)} | ${n} |`;
  });
  return `| test | score | 95 % interval | chance | n |\n|---|---|---|---|---|\n${lines.join("\n")}\n`;
}
