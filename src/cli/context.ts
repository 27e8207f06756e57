import type colors from "picocolors";
import type { ModelLoader } from "../zoo/florence-model.ts";
import type { CommandProgress } from "./progress.ts";

/** Everything a command may touch of the outside world. Commands never use `process` themselves. */
export interface CommandContext {
  /** Writes one line of data to stdout; resolves when the reader can take more. */
  readonly print: (line: string) => Promise<void>;
  /** Writes one line for humans to stderr. */
  readonly log: (line: string) => void;
  /** Starts a progress display on stderr; `total` is left out while it is unknown. `unit` is "pictures" by default. */
  readonly progress: (label: string, total?: number, unit?: string) => CommandProgress;
  /** Aborts on SIGINT, SIGTERM and when stdout is closed; its reason is the error to rethrow. */
  readonly signal: AbortSignal;
  readonly loadModel: ModelLoader;
  /** The checkpoint folder that `--model` means; a model of the hub is downloaded if need be. */
  readonly modelFolder: (nameOrDirectory: string) => Promise<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where embeddings and downloads are kept between runs. */
  readonly cacheFolder: string;
  /** The folder of package.json, which holds weights/ and samples/. */
  readonly packageFolder: string;
  /** Colours for stdout; plain when it is not a terminal or NO_COLOR is set. */
  readonly colors: ReturnType<typeof colors.createColors>;
}
