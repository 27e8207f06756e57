import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commitOf, HubServer, type HubServerFile } from "../../test/support/hub-server.ts";
import { hubSettingsFrom } from "../io/hub-settings.ts";
import { cachedModels, findModel, pullModel } from "./model-names.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));
const bundledFolder = fileURLToPath(new URL("../../weights", import.meta.url));
const weightsFolder = join(fixtures, "none are bundled here");

let folder: string;
let server: HubServer;
const published: Record<string, Record<string, Record<string, HubServerFile>>> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-names-"));
  server = await HubServer.start({ repositories: published });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const settings = () => hubSettingsFrom({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: folder });

/** Puts a repository on the server: a fixture's files, then the given ones; null takes one away. */
async function publish(
  name: string,
  fixture: string | undefined,
  changes: Record<string, string | null> = {},
): Promise<void> {
  const files: Record<string, HubServerFile> = {};
  const isLarge = (file: string) => /\.(safetensors|pth?|bin)$/.test(file);
  for (const file of fixture === undefined ? [] : await readdir(join(fixtures, fixture))) {
    files[file] = { bytes: await readFile(join(fixtures, fixture as string, file)), isLarge: isLarge(file) };
  }
  for (const [file, text] of Object.entries(changes)) {
    if (text === null) delete files[file];
    else files[file] = { bytes: Buffer.from(text), isLarge: isLarge(file) };
  }
  published[name] = { main: files };
}

const ofFiles = () => server.seen.filter(({ host }) => host === "files");

describe("pullModel", () => {
  const shard = "model-00001-of-00001.safetensors";
  const index = JSON.stringify({ weight_map: { "model.embed_tokens.weight": shard } });
  const refusals: [string, string | undefined, Record<string, string | null>, string, RegExp][] = [
    [
      "a NaFlex SigLIP 2",
      "siglip2",
      { "config.json": '{"model_type":"siglip2"}' },
      "unsupported",
      /^acme\/refused config\.json: .*got NaFlex/,
    ],
    [
      "a language model",
      undefined,
      { "config.json": '{"model_type":"llama"}', "model.safetensors.index.json": index, [shard]: "x" },
      "unsupported",
      /^acme\/refused config\.json: must be of a known family .*got model_type "llama"/,
    ],
    [
      "weights that nothing describes",
      undefined,
      { "model.safetensors": "x" },
      "unsupported",
      /^acme\/refused: must be of a known family/,
    ],
    [
      "a field of CLIP that is not known",
      "clip-hugging-face",
      { "config.json": '{"model_type":"clip","vision_config":{"hidden_act":"selu"}}' },
      "unsupported",
      /^acme\/refused config\.json: vision_config\.hidden_act/,
    ],
    [
      "damaged JSON",
      "clip-hugging-face",
      { "config.json": "{" },
      "corrupt",
      /^acme\/refused config\.json: must be JSON/,
    ],
    ["CLIP without its tokenizer", "clip-hugging-face", { "merges.txt": null }, "not-found", /must hold merges\.txt/],
    [
      "an open_clip model with a tower of timm's",
      "open-clip",
      {
        "open_clip_config.json":
          '{"model_cfg":{"embed_dim":4,"vision_cfg":{"timm_model_name":"convnext"},"text_cfg":{}}}',
      },
      "unsupported",
      /^acme\/refused open_clip_config\.json: .*timm_model_name/,
    ],
    [
      "UniCL with FocalNet",
      "unicl",
      { "unicl.yaml": "MODEL:\n  IMAGE_ENCODER:\n    TYPE: focal\n" },
      "unsupported",
      /^acme\/refused unicl\.yaml: .*got "focal"/,
    ],
    [
      "a detector of another form",
      undefined,
      { "config.json": '{"format":"florence-detector/9"}', "model.safetensors": "x" },
      "unsupported",
      /^acme\/refused config\.json: format is not right/,
    ],
  ];
  it.each(refusals)("refuses %s by name, before its weights come", async (_, fixture, changes, code, message) => {
    await publish("acme/refused", fixture, changes);
    const reference = { name: "acme/refused", revision: "main" };
    await expect(pullModel(reference, { settings: settings() })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(ofFiles()).toEqual([]);
    await expect(findModel("acme/refused", { weightsFolder, settings: settings() })).rejects.toThrow(message);
    await rm(join(folder, "models--acme--refused"), { recursive: true, force: true });
  });

  it.each(["clip-hugging-face", "open-clip", "siglip", "siglip2", "unicl", "unicl-older-names"])(
    "brings a model that can be read: %s",
    async (fixture) => {
      const name = `acme/${fixture}`;
      await publish(name, fixture);
      const before = ofFiles().length;
      const pulled = await pullModel({ name, revision: "main" }, { settings: settings() });
      expect(pulled.commit).toBe(commitOf(name, "main"));
      expect(ofFiles().length).toBe(before + 1);
      const listed = (await cachedModels(settings())).find((each) => each.name === name);
      expect(listed).toMatchObject({ folder: pulled.folder, isComplete: true });
    },
  );

  it.each(["florence-nano", "florence-nano-detector"])("brings a model of ours: %s", async (bundled) => {
    const changes: Record<string, string> = { "model.safetensors": "not looked into" };
    for (const file of await readdir(join(bundledFolder, bundled))) {
      if (/^(config\.json|vocab\.txt)$/.test(file)) {
        changes[file] = await readFile(join(bundledFolder, bundled, file), "utf8");
      }
    }
    await publish(`acme/${bundled}`, undefined, changes);
    const pulled = await pullModel({ name: `acme/${bundled}`, revision: "main" }, { settings: settings() });
    expect(new Set(pulled.files.map(({ name }) => name))).toEqual(new Set(Object.keys(changes)));
  });
});
