import { type ChildProcess, spawn } from "node:child_process";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { commands } from "../../src/cli/commands.ts";
import { runCli } from "../../src/cli/program.ts";
import type { ModelLoader } from "../../src/zoo/florence-model.ts";

export interface CliResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliSurroundings {
  readonly loadModel: ModelLoader;
  readonly cacheFolder: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Runs a command line inside this process, with the given model and cache. */
export async function runFlorence(
  words: readonly string[],
  { loadModel, cacheFolder, environment = {}, signal = new AbortController().signal }: CliSurroundings,
): Promise<CliResult> {
  const [stdout, stderr] = [new TextSink(), new TextSink()];
  const exitCode = await runCli(words, {
    stdout,
    stderr,
    environment: { FLORENCE_CACHE: cacheFolder, ...environment },
    signal,
    loadModel,
    commands,
    version: "0.0.0",
  });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

export interface ProcessEvents {
  readonly onStart?: (child: ChildProcess) => void;
  /** Called once, at the first piece of stdout. */
  readonly onOutput?: (child: ChildProcess) => void;
  /** A file descriptor that stdout goes to, in the place of the result. */
  readonly output?: number;
}

/** Runs test/e2e/toy-florence.ts as a process of its own. */
export function spawnFlorence(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  { onStart, onOutput, output: stdout }: ProcessEvents = {},
): Promise<CliResult> {
  const entry = fileURLToPath(new URL("toy-florence.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", entry, ...words], {
    env: { ...process.env, ...environment },
    stdio: ["pipe", stdout ?? "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (bytes: Buffer) => {
    if (output.stdout === "") onOutput?.(child);
    output.stdout += bytes.toString();
  });
  child.stderr?.on("data", (bytes: Buffer) => {
    output.stderr += bytes.toString();
  });
  onStart?.(child);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode) => resolve({ exitCode, ...output }));
  });
}

/** The JSON objects of an output, one a line. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** An evenly coloured picture, encoded as the ending of `path` says. */
export async function writePicture(path: string, color: string, width = 12, height = 10): Promise<void> {
  await sharp({ create: { width, height, channels: 3, background: color } }).toFile(path);
}

class TextSink extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
