import type { Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import pc from "picocolors";
import { UserError } from "../core/errors.ts";
import { cacheFolderFrom } from "../io/cache-folder.ts";
import type { ModelLoader } from "../zoo/florence-model.ts";
import type { CliCommand } from "./command.ts";
import type { CommandContext } from "./context.ts";
import { exitCodeOfError, exitCodes, OutputClosed, OutputFailed } from "./exit-codes.ts";
import { findModelFor } from "./model-lookup.ts";
import { StderrDisplay } from "./progress.ts";

/** What the program is run in. Tests give buffers and a toy model; the process gives itself. */
export interface CliHost {
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly loadModel: ModelLoader;
  readonly commands: readonly CliCommand[];
  readonly version: string;
}

/**
 * Runs one command line. Never throws and never ends the process: failures are written to stderr.
 *
 * @param words  the arguments after the program's name
 * @returns      the exit code (see exit-codes.ts)
 */
export async function runCli(words: readonly string[], host: CliHost): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = buildProgram(host, (code) => {
    exitCode = code;
  });
  const ended = await program.parseAsync(joinCommandWords(words, host.commands), { from: "user" }).then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  await flushed(host);
  const { aborted, reason } = host.signal;
  // A command may end before the last lines turn out not to have been written.
  if (!ended && !(reason instanceof OutputFailed)) return exitCode;
  // An abort can surface as any error of the work it interrupted: its reason is what happened.
  const cause: unknown = aborted ? reason : ended?.error;
  reportError(cause, host);
  return exitCodeOfError(cause);
}

/** Waits until all that was printed is written, or cannot be: the host's signal says so then. */
async function flushed({ stdout, signal }: CliHost): Promise<void> {
  if (!signal.aborted && !stdout.destroyed && !stdout.errored) {
    await new Promise<void>((resolve) => {
      stdout.write("", () => resolve()); // called after all earlier writes
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
  await setImmediate(); // the event of a failed write comes after its callback
}

/** `tune detection DATA` as `tune-detection DATA`, where there is a command of both words. */
function joinCommandWords([first, second, ...rest]: readonly string[], commands: readonly CliCommand[]): string[] {
  const joined = `${first}-${second}`;
  if (commands.some(({ name }) => name === joined)) return [joined, ...rest];
  return [first, second, ...rest].filter((word) => word !== undefined);
}

function buildProgram(host: CliHost, finish: (exitCode: number) => void): Command {
  const program = new Command("florence");
  program
    .description("Train, adapt and use image–text models: classify and search pictures in plain words.")
    .version(host.version, "-V, --version", "print the version")
    .showHelpAfterError("Add --help for the options and examples.")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout.write(text),
      writeErr: (text) => host.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "florence: ")),
    })
    .addHelpText("after", "\nflorence COMMAND --help shows a command's options and examples.");
  const context = contextOf(host);
  for (const command of host.commands) command.attach(program, context, finish);
  return program;
}

function contextOf(host: CliHost): CommandContext {
  const { stdout, environment, signal, loadModel } = host;
  const display = new StderrDisplay(host);
  const packageFolder = fileURLToPath(new URL("../../", import.meta.url));
  const progress = (label: string, total?: number, unit?: string) => display.progress(label, total, unit);
  const modelFolder = (name: string) => findModelFor({ environment, packageFolder, progress, signal }, name);
  const hasColors = Boolean(stdout.isTTY) && !environment.NO_COLOR && environment.TERM !== "dumb";
  return {
    print: (line) => writeLine(stdout, line, signal),
    log: (line) => display.log(line),
    progress,
    signal,
    // The folder is found here, where a download can be shown and stopped.
    loadModel: async (name, options) => loadModel(await modelFolder(name), options),
    modelFolder,
    environment,
    cacheFolder: cacheFolderFrom(environment),
    packageFolder,
    colors: pc.createColors(hasColors),
  };
}

/** Waits while the reader is slower than we are, so that output never piles up in memory. */
async function writeLine(stream: Writable, line: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (stream.write(`${line}\n`)) return;
  await new Promise<void>((resolve, reject) => {
    const drained = () => {
      signal.removeEventListener("abort", aborted);
      resolve();
    };
    const aborted = () => {
      stream.off("drain", drained);
      reject(signal.reason);
    };
    stream.once("drain", drained);
    signal.addEventListener("abort", aborted, { once: true });
  });
}

function reportError(error: unknown, { stderr }: CliHost): void {
  if (error instanceof OutputClosed || error instanceof CommanderError) return; // nothing to say, or said already
  if (error instanceof UserError) stderr.write(`florence: ${error.message}\n`);
  else {
    const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
    stderr.write(`florence: internal error, please report it with these lines:\n${trace}\n`);
  }
}
