/** The script of a worker thread that computes for one loaded model. */
import { serveCalls } from "../runtime/worker-calls.ts";
import { type EngineOptions, type ImageOutput, ModelEngine, type ModelFacts } from "./model-engine.ts";
import type { RegionRun } from "./region-engine.ts";

export type ModelCalls = {
  load: (payload: { folder: string; options: EngineOptions }) => ModelFacts;
  images: (payload: { pixels: Uint8Array; count: number; output: ImageOutput }) => Float32Array;
  regions: (payload: RegionRun) => Float32Array;
  texts: (payload: { texts: readonly string[] }) => Float32Array;
  dispose: (payload: null) => null;
};

let engine: ModelEngine | undefined;

function loaded(): ModelEngine {
  if (!engine) throw new Error("model-worker: a model must be loaded first, none is");
  return engine;
}

serveCalls<ModelCalls>({
  async load({ folder, options }) {
    engine = await ModelEngine.load(folder, options);
    return engine.facts;
  },
  images: ({ pixels, count, output }) => loaded().images(pixels, count, output),
  regions: (run) => loaded().regions(run),
  texts: ({ texts }, signal) => loaded().texts(texts, signal),
  async dispose() {
    await engine?.dispose();
    engine = undefined;
    return null;
  },
});
