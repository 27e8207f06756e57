/** The script of a worker thread that runs one program. */
import { type EncodedProgram, type FeedData, loadProgram, type Program } from "./program.ts";
import { serveCalls } from "./worker-calls.ts";

export type ProgramCalls = {
  load: (payload: { readonly encoded: EncodedProgram; readonly threads: number }) => null;
  run: (payload: ReadonlyMap<string, FeedData>) => Record<string, FeedData>;
  dispose: (payload: null) => null;
};

let program: Program | undefined;

serveCalls<ProgramCalls>({
  async load({ encoded, threads }) {
    program = await loadProgram(encoded, threads);
    return null;
  },
  async run(feeds) {
    if (!program) throw new Error("program-worker: a program must be loaded first, none is");
    return program.run(feeds);
  },
  async dispose() {
    await program?.dispose();
    program = undefined;
    return null;
  },
});
