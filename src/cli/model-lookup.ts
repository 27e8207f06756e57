import { join } from "node:path";
import type { PullProgress } from "../io/hub-pull.ts";
import { hubSettingsFrom } from "../io/hub-settings.ts";
import { findModel } from "../zoo/model-names.ts";
import type { CommandContext } from "./context.ts";
import type { CommandProgress } from "./progress.ts";

type Surroundings = Pick<CommandContext, "environment" | "packageFolder" | "progress" | "signal">;

/** The folder of the model that `--model` means, with the progress of a download on stderr. */
export async function findModelFor(surroundings: Surroundings, name: string): Promise<string> {
  const { environment, packageFolder, signal } = surroundings;
  return withDownloadProgress(surroundings, name, (onProgress) =>
    findModel(name, {
      weightsFolder: join(packageFolder, "weights"),
      settings: hubSettingsFrom(environment),
      signal,
      onProgress,
    }),
  );
}

/** The fingerprint of the model that a name means, which is known once it is read. */
export async function fingerprintOf(
  { loadModel, signal }: Pick<CommandContext, "loadModel" | "signal">,
  name: string,
): Promise<string> {
  const model = await loadModel(name, { signal });
  await model.dispose();
  return model.fingerprint;
}

/** Runs `download` with a progress line in megabytes, which appears if it takes long. */
export async function withDownloadProgress<Result>(
  { progress }: Pick<Surroundings, "progress">,
  label: string,
  download: (onProgress: (state: PullProgress) => void) => Promise<Result>,
): Promise<Result> {
  let shown: CommandProgress | undefined;
  try {
    return await download(({ bytes, totalBytes }) => {
      shown ??= progress(label, megabytes(totalBytes), "MB");
      shown.update(megabytes(bytes));
    });
  } finally {
    shown?.stop();
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}
