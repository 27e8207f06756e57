import { vi } from "vitest";

type Feeds = Record<string, FakeTensor>;
type Outputs = Record<string, { data: Float32Array }>;

export class FakeTensor {
  readonly data: ArrayLike<number>;
  readonly dims: readonly number[];

  constructor(_type: string, data: ArrayLike<number>, dims: readonly number[]) {
    this.data = data;
    this.dims = dims;
  }
}

/** A session that is as strict as onnxruntime-web's: it can be freed once, not under a run, and not run afterwards. */
export class FakeSession {
  runs = 0;
  running = 0;
  isReleased = false;

  async run(feeds: Feeds): Promise<Outputs> {
    if (this.isReleased) throw new Error("invalid session id");
    this.runs++;
    this.running++;
    await fakeOnnx.duringRun(this);
    this.running--;
    const [batch] = (Object.values(feeds)[0] as FakeTensor).dims;
    const embedding = Float32Array.from({ length: 4 * (batch as number) }, (_, i) => (i % 4 === 0 ? 1 : 0));
    return {
      embedding: { data: embedding },
      boxes: { data: Float32Array.of(1, 1, 3, 3) },
      scores: { data: Float32Array.of(0.9) },
    };
  }

  async release(): Promise<void> {
    if (this.isReleased || this.running > 0) throw new Error("invalid session id");
    this.isReleased = true;
  }
}

/** What stands for onnxruntime-web in unit tests: `vi.mock("onnxruntime-web/wasm", …)` returns `module`. */
export const fakeOnnx = {
  sessions: [] as FakeSession[],
  /** What a run waits for. */
  duringRun: async (_session: FakeSession): Promise<void> => undefined,
  /** What opening a session waits for. */
  duringCreate: async (): Promise<void> => undefined,

  reset(): void {
    this.sessions = [];
    this.duringRun = async () => undefined;
    this.duringCreate = async () => undefined;
  },

  module: {
    env: { wasm: {} },
    Tensor: FakeTensor,
    InferenceSession: {
      async create(): Promise<FakeSession> {
        await fakeOnnx.duringCreate();
        const session = new FakeSession();
        fakeOnnx.sessions.push(session);
        return session;
      },
    },
  },
};

/** Files by the end of their address, in place of `fetch`; 404 for others. The addresses asked for, in order. */
export function serveFiles(files: Record<string, string>): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (address: string, { signal }: { signal?: AbortSignal } = {}) => {
    const name = address.slice(address.lastIndexOf("/") + 1);
    asked.push(name);
    await new Promise((resolve) => setTimeout(resolve, 1));
    signal?.throwIfAborted();
    const body = files[name];
    return new Response(body ?? "none", { status: body === undefined ? 404 : 200 });
  });
  return asked;
}

/** A promise to be resolved by hand. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
