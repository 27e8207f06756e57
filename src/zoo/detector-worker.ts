/** The script of a worker thread that computes for one loaded detector. */
import type { FoundInPicture } from "../models/detection/decode-detections.ts";
import { serveCalls } from "../runtime/worker-calls.ts";
import { DetectorEngine, type DetectorEngineOptions, type DetectorFacts, type DetectorRun } from "./detector-engine.ts";

export type DetectorCalls = {
  load: (payload: { folder: string; options: DetectorEngineOptions }) => DetectorFacts;
  detect: (payload: DetectorRun) => FoundInPicture[];
  dispose: (payload: null) => null;
};

let engine: DetectorEngine | undefined;

serveCalls<DetectorCalls>({
  async load({ folder, options }) {
    engine = await DetectorEngine.load(folder, options);
    return engine.facts;
  },
  async detect(run) {
    if (!engine) throw new Error("detector-worker: a detector must be loaded first, none is");
    return engine.detect(run);
  },
  async dispose() {
    await engine?.dispose();
    engine = undefined;
    return null;
  },
});
