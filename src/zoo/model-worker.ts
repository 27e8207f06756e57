/** The script of a worker thread that computes for one loaded model. */
import type { SessionFile } from "../runtime/inference-session.ts";
import { serveCalls } from "../runtime/worker-calls.ts";
import type { ImageRun, ImagesPayload } from "./image-run.ts";
import { type EngineOptions, ModelEngine, type ModelFacts } from "./model-engine.ts";
import type { RegionRun } from "./region-engine.ts";

export type ModelCalls = {
  load: (payload: { folder: string; options: EngineOptions }) => ModelFacts;
  images: (payload: ImagesPayload) => ImageRun;
  imageTower: (payload: null) => SessionFile;
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
  images: (payload) => loaded().images(payload),
  imageTower: () => loaded().imageTower(),
  regions: (run) => loaded().regions(run),
  texts: ({ texts }, signal) => loaded().texts(texts, signal),
  async dispose() {
    await engine?.dispose();
    engine = undefined;
    return null;
  },
});
