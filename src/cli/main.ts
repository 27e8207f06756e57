import { startProcess } from "./start-process.ts";

// The engine is loaded only by commands that ask for a model: `--help` answers without it.
await startProcess(async (nameOrDirectory, options) => {
  const { loadModel } = await import("../zoo/load-model.ts");
  return loadModel(nameOrDirectory, options);
});
