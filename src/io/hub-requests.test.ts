import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dropAfter, HubServer, type Misbehaviour, refuse, sha256 } from "../../test/support/hub-server.ts";
import { UserError } from "../core/errors.ts";
import { pullSnapshot } from "./hub-pull.ts";
import { hubSettingsFrom } from "./hub-settings.ts";

const weights = Buffer.alloc(300_000, 7);
const repositories = { "owner/model": { main: { "model.safetensors": { bytes: weights, isLarge: true } } } };
const reference = { name: "owner/model", revision: "main" };

let folder: string;
let server: HubServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-hub-"));
  server = await HubServer.start({ repositories });
});
afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function pull(environment: Record<string, string> = {}) {
  const settings = hubSettingsFrom({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: folder, ...environment });
  return pullSnapshot(reference, async (names) => ({ sides: [], weights: [...names] }), { settings, retryDelayMs: 1 });
}

async function failureOf(action: Promise<unknown>): Promise<UserError> {
  const error: unknown = await action.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe("refusals of the host that large files are redirected to", () => {
  const refuseFiles = (times: number, status = 403, reason = "") => {
    server.misbehave = (request, response) => {
      if (request.host !== "files" || times-- <= 0) return false;
      refuse(response, status, reason);
      return true;
    };
  };
  const atFiles = () => server.seen.filter(({ host }) => host === "files").length;

  it.each([
    [403, {}],
    [403, { HF_TOKEN: "t" }],
    [401, {}],
    [404, {}],
  ])("name that host, and do not speak of the model: %s %j", async (status, environment) => {
    refuseFiles(9, status);
    const error = await failureOf(pull(environment));
    expect(error.code).toBe("network");
    expect(error.message).toMatch(
      new RegExp(
        `^owner/model model\\.safetensors: 127\\.0\\.0\\.1:\\d+ must let the download through, got ${status}; .*firewall`,
      ),
    );
    expect(error.message).not.toContain(new URL(server.endpoint).host);
    expect(atFiles()).toBe(2); // an address may have been signed for too short a time
  });

  it("are got over once, and again after something came", async () => {
    refuseFiles(1);
    await pull();
    expect(atFiles()).toBe(2);
    await rm(folder, { recursive: true });
    let asked = 0;
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content || asked > 4) return false;
      if (asked++ % 2 === 0) refuse(response, 403);
      else dropAfter(50_000, response, request, content);
      return true;
    };
    await pull(); // refused thrice, with bytes between
    expect((await stat(join(folder, "models--owner--model/blobs", sha256(weights)))).size).toBe(weights.length);
  });

  it("mean what they mean where it speaks as the hub does", async () => {
    refuseFiles(9, 403, "GatedRepo");
    const error = await failureOf(pull());
    expect([error.code, atFiles()]).toEqual(["unreadable", 1]);
    expect(error.message).toMatch(/gated/);
  });
});

it("prints no query of an address: a signed one is a grant to download", async () => {
  server.options = { repositories, signature: "Signature=s3cret" };
  const answers: ((...asked: Parameters<Misbehaviour>) => unknown)[] = [
    (_, response) => refuse(response, 403),
    (_, response) => refuse(response, 500),
    (_, response) => refuse(response, 416),
    (_, response) => response.destroy(),
    (_, response) => response.writeHead(200, { "content-length": 10 }).end("0123456789"),
    (_, response) => response.writeHead(200).end(Buffer.alloc(300_001)),
    (request, response, content) => content && dropAfter(0, response, request, content),
  ];
  for (const answer of answers) {
    server.misbehave = (request, response, content) => {
      if (request.host === "files") answer(request, response, content);
      return request.host === "files";
    };
    const error = await failureOf(pull());
    expect(error.message).toMatch(/^owner\/model model\.safetensors: 127\.0\.0\.1:\d+ must /);
    expect(error.message).not.toMatch(/s3cret|\?/);
  }
  expect(server.seen.some(({ query }) => query === "?Signature=s3cret")).toBe(true);
});
