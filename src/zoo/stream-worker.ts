/** The script of a worker thread that runs one more session of a model's image tower, see `image-streams.ts`. */
import { InferenceSession, type SessionFile } from "../runtime/inference-session.ts";
import { serveCalls } from "../runtime/worker-calls.ts";
import { type ImageRun, type ImagesPayload, runImages } from "./image-run.ts";

export type StreamCalls = {
  /** Gives the file back, for the next stream. */
  load: (payload: { file: SessionFile; side: number; threads: number }) => SessionFile;
  images: (payload: ImagesPayload) => ImageRun;
  dispose: (payload: null) => null;
};

let loaded: { readonly session: InferenceSession; readonly side: number } | undefined;

serveCalls<StreamCalls>({
  async load({ file, side, threads }) {
    loaded = { session: await InferenceSession.load(file, threads), side };
    return file;
  },
  async images(payload) {
    if (!loaded) throw new Error("stream-worker: a session must be loaded first, none is");
    return runImages(loaded.session, loaded.side, payload);
  },
  async dispose() {
    await loaded?.session.release();
    loaded = undefined;
    return null;
  },
});
