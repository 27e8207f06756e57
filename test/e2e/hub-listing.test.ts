import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HubServer, type HubServerFile } from "../support/hub-server.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

const fixtures = fileURLToPath(new URL("../fixtures/checkpoints", import.meta.url));

let root: string;
let openAi: string;
let server: HubServer;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-listing-"));
  openAi = join(root, "openai");
  await mkdir(openAi);
  await writeFile(join(openAi, "ViT-tiny.pt"), gunzipSync(await readFile(join(fixtures, "openai/ViT-tiny.pt.gz"))));
  await cp(join(fixtures, "openai/merges.txt"), join(openAi, "merges.txt"));
  const [unicl, openai] = await Promise.all([join(fixtures, "unicl"), openAi].map(filesIn));
  const naflex = {
    "config.json": { bytes: Buffer.from('{"model_type":"siglip2"}') },
    "model.safetensors": { bytes: Buffer.from("x"), isLarge: true },
  };
  const repositories = {
    "acme/unicl": { main: unicl },
    "acme/openai": { main: openai },
    "acme/naflex": { main: naflex },
  };
  server = await HubServer.start({ repositories });
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true, force: true });
});

async function filesIn(folder: string): Promise<Record<string, HubServerFile>> {
  const files: Record<string, HubServerFile> = {};
  for (const name of await readdir(folder)) files[name] = { bytes: await readFile(join(folder, name)) };
  return files;
}

function run(...words: string[]) {
  const environment = { HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: join(root, "hub") };
  return runFlorence(words, { loadModel: async () => toyModel(), cacheFolder: join(root, "cache"), environment });
}

async function listed(): Promise<Record<string, unknown>[]> {
  return jsonLines((await run("models", "--json")).stdout).filter(({ source }) => source === "hub");
}

const uniclFacts = {
  file: "unicl.yaml",
  NAME: "unicl-tiny",
  IMG_SIZE: 80,
  DIM_PROJECTION: 12,
  IMAGE_ENCODER: { TYPE: "swin", EMBED_DIM: 8, DEPTHS: [2, 2, 1], NUM_HEADS: [2, 4, 8], WINDOW_SIZE: 5 },
  TEXT_ENCODER: { NAME: "transformer", CONTEXT_LENGTH: 24, WIDTH: 16, HEADS: 2, LAYERS: 2 },
};

describe("models without a config.json", () => {
  it("are shown: UniCL by its YAML, OpenAI's file without a configuration", async () => {
    const folder = join(fixtures, "unicl");
    const unicl = jsonLines((await run("models", "show", folder, "--json")).stdout)[0];
    expect(unicl).toEqual({ name: folder, folder, bytes: expect.any(Number), config: uniclFacts, card: {} });
    expect(unicl.bytes).toBeGreaterThan(1000);

    const { stdout, exitCode } = await run("models", "show", openAi);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^weights +\d/m);
    expect(stdout).not.toMatch(/^config/m);
    expect(jsonLines((await run("models", "show", openAi, "--json")).stdout)[0]).not.toHaveProperty("config");
  });

  it("are listed as complete once they are pulled, and as damaged if they are", async () => {
    for (const name of ["acme/unicl", "acme/openai"]) expect((await run("models", "pull", name)).exitCode).toBe(0);
    expect(await listed()).toEqual([
      expect.objectContaining({ name: "acme/openai", complete: true, bytes: expect.any(Number) }),
      expect.objectContaining({ name: "acme/unicl", complete: true, config: uniclFacts }),
    ]);
    const { stdout } = await run("models");
    expect(stdout).toMatch(/^acme\/unicl {2}0\.\d MB, commit \w{7}$/m);

    const { folder } = (await listed())[1];
    await writeFile(join(folder as string, "unicl.yaml"), "MODEL:\n  IMAGE_ENCODER:\n    TYPE: [\n");
    expect((await run("models")).stdout).toMatch(
      /^acme\/unicl {2}commit \w{7}, all files are there, but .*unicl\.yaml/m,
    );
    expect((await run("models", "pull", "acme/unicl")).exitCode).toBe(0); // repairs it
    expect((await listed())[1]).toMatchObject({ complete: true, config: uniclFacts });
  });

  it("are not listed where they were refused, nor another program's .pt", async () => {
    const before = await listed();
    expect(await run("models", "pull", "acme/naflex")).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining("acme/naflex config.json: a SigLIP 2 model must be of a fixed resolution"),
    });
    const yolo = join(root, "hub/models--other--yolo/snapshots", "a".repeat(40));
    await mkdir(yolo, { recursive: true });
    await writeFile(join(yolo, "yolo.pt"), "weights");
    expect(await listed()).toEqual(before);
    await writeFile(join(yolo, "merges.txt"), "#version: 0.2\n");
    expect((await listed()).map(({ name }) => name)).toContain(`other/yolo@${"a".repeat(40)}`);
  });
});
