import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { HubServer, type HubServerFile } from "../support/hub-server.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const checkpoint = join(root, "test/fixtures/checkpoints/clip-hugging-face");
const picture = join(root, "samples/koala.jpg");

let cache: string;
let server: HubServer;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), "florence-hub-e2e-"));
  const files: Record<string, HubServerFile> = { "model.onnx": { bytes: Buffer.from("not asked for"), isLarge: true } };
  for (const name of await readdir(checkpoint)) {
    const bytes = await readFile(join(checkpoint, name));
    files[name] = { bytes, isLarge: name === "model.safetensors" };
  }
  server = await HubServer.start({ repositories: { "acme/clip-tiny": { main: files } } });
});
afterAll(async () => {
  await server.stop();
  await rm(cache, { recursive: true, force: true });
});

/** The real program, with a hub of its own and nothing else of the user's. */
async function florence(words: readonly string[], more: Record<string, string> = {}) {
  const environment = { HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cache, FLORENCE_CACHE: join(cache, "florence") };
  const main = join(root, "src/cli/main.ts");
  return promisify(execFile)(process.execPath, ["--import", "tsx", main, ...words], {
    cwd: root,
    env: { ...process.env, ...environment, ...more },
  });
}

describe("a model of the hub", { timeout: 60_000 }, () => {
  it("is pulled by name, listed, and used by name, offline too, like the folder it came from", async () => {
    await florence(["models", "pull", "acme/clip-tiny"]);
    expect(server.fetches("model.onnx")).toEqual([]);
    expect((await florence(["models", "list"])).stdout).toContain("acme/clip-tiny");

    const asked = server.seen.length;
    const words = ["embed", picture, "--model", "acme/clip-tiny", "--json"];
    const { stdout } = await florence(words, { HF_HUB_OFFLINE: "1" });
    expect(server.seen.length).toBe(asked);
    const { embedding } = JSON.parse(stdout) as { embedding: number[] };

    const expected = JSON.parse(await readFile(join(checkpoint, "expected.json"), "utf8"));
    const koala = expected.images.find(({ path }: { path: string }) => path === "koala.jpg");
    for (const [i, value] of embedding.entries()) expect(value).toBeCloseTo(koala.embedding[i], 5);
    const model = await loadModel(checkpoint);
    expect(embedding).toHaveLength(model.embedDim);
    await model.dispose();
  });

  it("that does not exist is an error with a remedy", async () => {
    const failure = await florence(["embed", picture, "--model", "acme/none"]).catch((error: unknown) => error);
    expect((failure as { stderr: string }).stderr).toMatch(/acme\/none/);
    expect((failure as { code: number }).code).not.toBe(0);
  });
});
