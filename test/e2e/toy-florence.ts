import { startProcess } from "../../src/cli/start-process.ts";
import { toyModel } from "./toy-model.ts";

// The command line with a toy in the place of the model, to be run as a process of its own.
await startProcess(async () => toyModel({ delayMs: Number(process.env.TOY_DELAY_MS ?? 0) }));
