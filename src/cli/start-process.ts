import { createRequire } from "node:module";
import { UserError } from "../core/errors.ts";
import type { ModelLoader } from "../zoo/florence-model.ts";
import { commands } from "./commands.ts";
import { exitCodes, OutputClosed, OutputFailed } from "./exit-codes.ts";
import { runCli } from "./program.ts";

/** Runs the command line of this process: the only place that knows signals, streams and the exit code. */
export async function startProcess(loadModel: ModelLoader): Promise<void> {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(exitCodes.interrupted); // asked twice: do not wait for anything
      controller.abort(new UserError("cancelled", `stopped by ${signal}.`));
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    controller.abort(error.code === "EPIPE" ? new OutputClosed() : new OutputFailed(error));
  });
  process.stderr.on("error", () => undefined); // nobody is left to be told
  process.exitCode = await runCli(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    signal: controller.signal,
    loadModel,
    commands,
    version: packageVersion(),
  });
}

function packageVersion(): string {
  const manifest: unknown = createRequire(import.meta.url)("../../package.json");
  return (manifest as { version: string }).version;
}
