/**
 * Damages every family's tiny checkpoint in thousands of ways and reads each, in a process that is watched: an error has
 * to name the file, within the time and the memory, and nothing in a file may be executed.
 *
 *   npx tsx scripts/fuzz-checkpoints.ts [CASES [FIRST]]   2,200 cases from 0 if left out; exit code 1 if one goes wrong
 */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DamagedCheckpoints, type DamageResult } from "../test/support/damaged-checkpoint.ts";

const longestMs = 20_000; // on a machine that may be busy; a read takes some milliseconds
const mostRss = 1.2e9; // bytes

type Answer = Omit<DamageResult, "outcome"> & { outcome: string; rss: number };

if (process.send) await answerCases(process.argv[2]);
else await watchCases(Number(process.argv[2] ?? 2200), Number(process.argv[3] ?? 0));

/** The watched process: reads cases by number. */
async function answerCases(root: string): Promise<void> {
  process.chdir(root); // where a file would leave the trace of having been executed
  const checkpoints = await DamagedCheckpoints.create(root);
  process.on("message", async (index: number) => {
    const result = await checkpoints.run(index);
    process.send?.({ ...result, rss: process.memoryUsage().rss });
  });
  process.send?.("ready");
}

async function watchCases(count: number, first: number): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "florence-fuzz-"));
  const table = new Map<string, Map<string, number>>();
  let [child, wrong, slowest, highest] = [await startChild(root), 0, { milliseconds: 0, what: "" }, 0];
  for (let index = first; index < first + count; index++) {
    const answer = await askChild(child, index);
    const failed = typeof answer === "string";
    let outcome = failed ? answer : answer.outcome;
    if (!failed && answer.rss > mostRss) outcome = "too much memory";
    if (existsSync(join(root, "torch-file-was-executed"))) outcome = "executed";
    if (!failed) {
      const { family, file, damage, milliseconds, rss } = answer;
      if (milliseconds > slowest.milliseconds) slowest = { milliseconds, what: `${damage}, ${family}/${file}` };
      highest = Math.max(highest, rss);
    }
    if (outcome !== "read" && outcome !== "error naming the file") {
      wrong++;
      console.log(`case ${index}: ${outcome}: ${JSON.stringify(answer).slice(0, 900)}`);
      child.kill("SIGKILL");
      child = await startChild(root);
    }
    const row = failed ? "(no answer)" : answer.damage;
    const counts = table.get(row) ?? new Map<string, number>();
    table.set(row, counts.set(outcome, (counts.get(outcome) ?? 0) + 1));
  }
  child.kill();
  await rm(root, { recursive: true, force: true });
  printTable(table);
  console.log(`${count} cases, ${wrong} wrong; most memory ${Math.round(highest / 1e6)} MB`);
  console.log(`slowest ${Math.round(slowest.milliseconds)} ms: ${slowest.what}`);
  process.exitCode = wrong > 0 ? 1 : 0;
}

async function startChild(root: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(import.meta.url), [root], { execArgv: process.execArgv });
  await new Promise((resolve, reject) => child.once("message", resolve).once("exit", reject));
  return child;
}

/** The child's answer, or what became of it instead. */
function askChild(child: ChildProcess, index: number): Promise<Answer | string> {
  return new Promise((resolve) => {
    const finish = (answer: Answer | string): void => {
      clearTimeout(timer);
      child.removeAllListeners("message");
      child.removeAllListeners("exit");
      resolve(answer);
    };
    const timer = setTimeout(() => finish("hang"), longestMs);
    child.once("message", finish).once("exit", (code) => finish(`crash ${code}`));
    child.send(index);
  });
}

function printTable(table: ReadonlyMap<string, ReadonlyMap<string, number>>): void {
  const outcomes = [...new Set([...table.values()].flatMap((counts) => [...counts.keys()]))].sort();
  console.log(`| damage | ${outcomes.join(" | ")} |\n|---|${outcomes.map(() => "---|").join("")}`);
  for (const [damage, counts] of table) {
    console.log(`| ${damage} | ${outcomes.map((outcome) => counts.get(outcome) ?? 0).join(" | ")} |`);
  }
}
