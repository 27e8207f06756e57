import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { HubServer } from "../../test/support/hub-server.ts";
import { CachedRepository } from "./hub-cache.ts";
import { type PulledSnapshot, pullSnapshot } from "./hub-pull.ts";
import { hubSettingsFrom } from "./hub-settings.ts";

const disk = vi.hoisted(() => ({ readOnly: undefined as { folder: string; code: string } | undefined }));

// The tests may run as root, to whom no folder is closed: calls that write under `disk.readOnly` are refused here.
vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  const exists = (path: string) =>
    real
      .lstat(path)
      .then(() => true)
      .catch(() => false);
  const refuse = (path: unknown): void => {
    if (!disk.readOnly || !String(path).startsWith(disk.readOnly.folder)) return;
    throw Object.assign(new Error(`${disk.readOnly.code}: no writing, '${path}'`), { code: disk.readOnly.code });
  };
  const guarded = {
    mkdir: async (path: string, options: object) => {
      if (!(await exists(path))) refuse(path);
      return real.mkdir(path, options);
    },
    symlink: async (target: string, path: string) => {
      refuse(path);
      return real.symlink(target, path);
    },
    rename: async (from: string, to: string) => {
      refuse(to);
      return real.rename(from, to);
    },
    copyFile: async (from: string, to: string) => {
      refuse(to);
      return real.copyFile(from, to);
    },
    rm: async (path: string, options: object) => {
      if (await exists(path)) refuse(path);
      return real.rm(path, options);
    },
    open: async (path: string, flags: string) => {
      if (flags !== "r") refuse(path);
      return real.open(path, flags);
    },
  };
  return { ...real, ...guarded };
});

const commits = ["v1", "v2"];
const files = (text: string) => ({
  "config.json": { bytes: Buffer.from("{}") },
  "model.safetensors": { bytes: Buffer.from(text), isLarge: true },
});

let folder: string;
let server: HubServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-hub-"));
  const [v1, v2] = commits.map(files);
  server = await HubServer.start({ repositories: { "owner/model": { v1, v2 } } });
});
afterEach(() => {
  disk.readOnly = undefined;
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function pull(cache: string, revision = "v1"): Promise<PulledSnapshot> {
  const settings = hubSettingsFrom({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cache });
  const choose = async () => ({ sides: ["config.json"], weights: ["model.safetensors"] });
  const checkSides = async () => undefined;
  return pullSnapshot({ name: "owner/model", revision }, choose, { settings, checkSides, verifies: true });
}

describe.each(["EACCES", "EPERM", "EROFS"])("a cache that may only be read (%s)", (code) => {
  it("gives a complete model, whoever pulled it", async () => {
    const cache = join(folder, `complete-${code}`);
    const pulled = await pull(cache);
    disk.readOnly = { folder: cache, code };
    expect(await pull(cache)).toEqual({ ...pulled, downloadedBytes: 0 });

    disk.readOnly = undefined;
    for (const ours of [".florence", "refs"]) await rm(join(cache, "models--owner--model", ours), { recursive: true });
    disk.readOnly = { folder: cache, code };
    expect(await pull(cache)).toEqual({ ...pulled, downloadedBytes: 0 });
    expect(await new CachedRepository(cache, "owner/model").recordedPull(pulled.commit)).toBeUndefined();
  });

  it("that lacks something says how to do without the network", async () => {
    const cache = join(folder, `lacking-${code}`);
    await pull(cache);
    disk.readOnly = { folder: cache, code };
    await expect(pull(cache, "v2")).rejects.toMatchObject({
      code: "unreadable",
      message: expect.stringMatching(/must be accessible, got .*HF_HUB_OFFLINE=1 .*HF_HUB_CACHE/),
    });
  });
});
