import { mkdtemp, readFile, readlink, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { commitOf, dropAfter, gitSha1, HubServer, refuse, sha256 } from "../../test/support/hub-server.ts";
import { UserError, type UserErrorCode } from "../core/errors.ts";
import { type PullOptions, type PullProgress, pullSnapshot } from "./hub-pull.ts";
import { hubSettingsFrom } from "./hub-settings.ts";

const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 131) ^ (i >> 8)));
const config = Buffer.from('{"model_type":"clip"}\n');
const repositories = {
  "owner/model": {
    main: { "config.json": { bytes: config }, "model.safetensors": { bytes: weights, isLarge: true } },
    "v1/old": { "config.json": { bytes: Buffer.from("{}") }, "model.safetensors": { bytes: weights, isLarge: true } },
  },
};
const reference = { name: "owner/model", revision: "main" };
const commit = commitOf("owner/model", "main");

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

function pull(options: Partial<PullOptions> = {}, environment: Record<string, string> = {}, from = reference) {
  const settings = hubSettingsFrom({ HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: folder, ...environment });
  const choose = async (names: ReadonlySet<string>) => ({ sides: [], weights: [...names].sort() });
  return pullSnapshot(from, choose, { settings, retryDelayMs: 1, ...options });
}

const inModel = (...parts: string[]) => join(folder, "models--owner--model", ...parts);
const weightsBlob = () => inModel("blobs", sha256(weights));
const partial = () => inModel("blobs", `${sha256(weights)}.florence-incomplete`);

async function failureOf(action: Promise<unknown>): Promise<UserError> {
  const error: unknown = await action.then(
    () => expect.fail("it must fail"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error;
  return error;
}

describe("the cache", () => {
  it("gets blobs by checksum, links by commit, and the branch's commit", async () => {
    const progress: PullProgress[] = [];
    const result = await pull({ onProgress: (state) => progress.push(state) });
    expect(result).toMatchObject({ folder: inModel("snapshots", commit), commit, downloadedBytes: 300_000 + 22 });
    expect(await readFile(join(result.folder, "model.safetensors"))).toEqual(weights);
    expect(await readlink(join(result.folder, "model.safetensors"))).toBe(`../../blobs/${sha256(weights)}`);
    expect(await readlink(join(result.folder, "config.json"))).toBe(`../../blobs/${gitSha1(config)}`);
    expect(await readFile(inModel("refs/main"), "utf8")).toBe(commit);
    expect(progress.at(-1)).toEqual({ bytes: 300_022, totalBytes: 300_022, file: "model.safetensors" });
    expect(progress.map(({ bytes }) => bytes)).toEqual(progress.map(({ bytes }) => bytes).sort((a, b) => a - b));
  });

  it("shares bytes between revisions and fetches nothing twice", async () => {
    await pull();
    const other = await pull({}, {}, { name: "owner/model", revision: "v1/old" });
    expect(other.downloadedBytes).toBe(2);
    expect(await readFile(inModel("refs/v1/old"), "utf8")).toBe(commitOf("owner/model", "v1/old"));
    expect((await pull()).downloadedBytes).toBe(0);
    expect(server.fetches("model.safetensors").filter(({ host }) => host === "files")).toHaveLength(1);
  });

  it("takes a commit, which needs no ref", async () => {
    const result = await pull({}, {}, { name: "owner/model", revision: commit });
    expect(result.commit).toBe(commit);
    await expect(stat(inModel("refs"))).rejects.toThrow("ENOENT");
  });

  it("repairs damaged blobs when it verifies", async () => {
    await pull();
    const damaged = Buffer.from(weights);
    damaged[1000] ^= 1;
    await writeFile(weightsBlob(), damaged);
    expect((await pull()).downloadedBytes).toBe(0); // of the right size: not looked into
    expect((await pull({ verifies: true })).downloadedBytes).toBe(300_000);
    expect(await readFile(weightsBlob())).toEqual(weights);
    await truncate(weightsBlob(), 10);
    expect((await pull()).downloadedBytes).toBe(300_000);
  });

  it("reads checksums off the file's own address where the list has none", async () => {
    server.options = { repositories, hidesChecksums: true };
    await pull();
    expect(await readFile(weightsBlob())).toEqual(weights);
    expect(server.seen.filter(({ method }) => method === "HEAD").map(({ host }) => host)).toEqual(["hub", "hub"]);
  });

  it("takes no files out of folders, nor names that lead out of its own", async () => {
    const sneaky = {
      "../evil.json": { bytes: config },
      "onnx/model.onnx": { bytes: config },
      ".git": { bytes: config },
    };
    server.options = { repositories: { "owner/model": { main: { ...repositories["owner/model"].main, ...sneaky } } } };
    expect((await pull()).files.map(({ name }) => name)).toEqual(["config.json", "model.safetensors"]);
  });
});

describe("interruptions", () => {
  const dropsWeights = (times: number, after: number) => {
    let drops = 0;
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content || drops >= times) return false;
      drops++;
      dropAfter(after, response, request, content);
      return true;
    };
  };

  it("goes on where dropped connections stopped, more often than it would try in vain", async () => {
    dropsWeights(9, 30_000);
    await pull();
    expect(await readFile(weightsBlob())).toEqual(weights);
    const ranges = server.fetches("model.safetensors").filter(({ host }) => host === "files");
    expect(ranges.map(({ range }) => range)).toEqual([
      undefined,
      ...Array.from({ length: 9 }, (_, i) => `bytes=${30_000 * (i + 1)}-`),
    ]);
  });

  it("gives up on a connection that always drops, keeps what came, and goes on at the next call", async () => {
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content) return false;
      if (request.range) response.destroy();
      else dropAfter(100_000, response, request, content);
      return true;
    };
    const error = await failureOf(pull());
    expect(error.code).toBe("network");
    expect(error.message).toMatch(/must answer, got .*HF_HUB_OFFLINE=1/);
    expect((await stat(partial())).size).toBe(100_000);
    await expect(stat(inModel("refs/main"))).rejects.toThrow("ENOENT"); // nothing stands for a half model
    server.misbehave = () => false;
    expect((await pull()).downloadedBytes).toBe(200_000);
    expect(server.fetches("model.safetensors").at(-1)?.range).toBe("bytes=100000-");
    expect(await readFile(weightsBlob())).toEqual(weights);
  });

  it("stops at once on abort, and goes on at the next call", async () => {
    const controller = new AbortController();
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 50_000)); // and then nothing
      return true;
    };
    const stopped = pull({
      signal: controller.signal,
      onProgress: ({ bytes }) => bytes >= 50_000 && controller.abort(new UserError("cancelled", "stopped.")),
    });
    expect((await failureOf(stopped)).code).toBe("cancelled");
    server.misbehave = () => false;
    expect((await pull()).downloadedBytes).toBe(250_000);
  });

  it("counts silence as a dropped connection", async () => {
    let silent = 0;
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content || silent++ > 0) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 50_000));
      return true;
    };
    await pull({ stallMs: 150 });
    expect(await readFile(weightsBlob())).toEqual(weights);
    expect(server.fetches("model.safetensors").at(-1)?.range).toBe("bytes=50000-");
  });

  it("begins anew with a server that knows no ranges", async () => {
    let drops = 0;
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content) return false;
      if (drops++ === 0) dropAfter(70_000, response, request, content);
      else response.writeHead(200, { "content-length": content.length }).end(content);
      return true;
    };
    await pull();
    expect(await readFile(weightsBlob())).toEqual(weights);
  });

  it("tries again after 500 and 503", async () => {
    const statuses = [500, 503];
    server.misbehave = (_, response) => {
      const status = statuses.shift();
      if (status) refuse(response, status);
      return status !== undefined;
    };
    await pull();
    expect(statuses).toEqual([]);
  });
});

describe("wrong bytes", () => {
  const wrong = Buffer.from(weights);
  wrong[200_000] ^= 0x40;

  it.each([
    ["other bytes", wrong, "mismatch", /owner\/model model\.safetensors: sha256 must be \w+, got \w+ twice/],
    ["too many", Buffer.concat([weights, Buffer.from("x")]), "mismatch", /must send 300000 bytes, got more/],
    ["too few", weights.subarray(0, 299_999), "network", /must (send|answer)/],
  ] as const)("are refused: %s", async (_, bytes, code, message) => {
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content) return false;
      response.writeHead(200, { "content-length": bytes.length }).end(bytes);
      return true;
    };
    const error = await failureOf(pull());
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    await expect(stat(weightsBlob())).rejects.toThrow("ENOENT");
    await expect(stat(inModel("snapshots", commit, "model.safetensors"))).rejects.toThrow("ENOENT");
  });

  it("are refused in small files too", async () => {
    server.misbehave = (request, response) => {
      if (!request.path.endsWith("config.json")) return false;
      response.writeHead(200).end('{"model_type":"clop"}\n');
      return true;
    };
    expect((await failureOf(pull())).message).toMatch(/config\.json: git-sha1 must be/);
  });

  it("left by a broken earlier download are replaced", async () => {
    dropOnce();
    await failureOf(pull());
    await writeFile(partial(), wrong.subarray(0, 250_000));
    server.misbehave = () => false;
    await pull();
    expect(await readFile(weightsBlob())).toEqual(weights);
    expect(
      server
        .fetches("model.safetensors")
        .filter(({ host }) => host === "files")
        .at(-1)?.range,
    ).toBeUndefined();
  });

  function dropOnce() {
    server.misbehave = (request, response) => {
      if (request.host === "files") response.destroy();
      return request.host === "files";
    };
  }
});

describe("refusals", () => {
  const cases: [string, number, string, Record<string, string>, UserErrorCode, RegExp][] = [
    ["unknown or private", 401, "RepoNotFound", {}, "unreadable", /owner\/model: .*got 401.*set HF_TOKEN/],
    ["a bad token", 401, "", { HF_TOKEN: "bad" }, "unreadable", /HF_TOKEN is valid/],
    [
      "gated, without a token",
      403,
      "GatedRepo",
      {},
      "unreadable",
      /Accept its terms on .*\/owner\/model and set HF_TOKEN/,
    ],
    ["gated, with one", 403, "GatedRepo", { HF_TOKEN: "t" }, "unreadable", /with the account of HF_TOKEN/],
    ["no such model", 404, "RepoNotFound", {}, "not-found", /got 404\. Check the name/],
    ["no such revision", 404, "RevisionNotFound", {}, "not-found", /branch, tag or commit/],
    ["too many requests", 429, "", {}, "network", /got 429\. Wait a while, or set HF_TOKEN/],
    ["a broken server", 502, "", {}, "network", /got 502/],
  ];
  it.each(cases)("are explained: %s", async (_, status, reason, environment, code, message) => {
    server.misbehave = (_request, response) => {
      refuse(response, status, reason);
      return true;
    };
    const error = await failureOf(pull({}, environment));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(server.seen).toHaveLength(status === 429 || status >= 500 ? 6 : 1); // asked again only where it may help
  });

  it("wait as long as the server asks, unless that is very long", async () => {
    let asked = 0;
    server.misbehave = (_, response) => {
      if (asked++ > 0) return false;
      refuse(response, 429, "", { "retry-after": "1" });
      return true;
    };
    const started = performance.now();
    await pull();
    expect(performance.now() - started).toBeGreaterThan(990);
    server.misbehave = (_, response) => {
      refuse(response, 429, "", { "retry-after": "3600" });
      return true;
    };
    expect((await failureOf(pull())).message).toMatch(/Wait 3600 s/);
  });

  it("say when nothing answers, or something that is no hub", async () => {
    server.misbehave = (_, response) => {
      response.writeHead(200).end("<html>");
      return true;
    };
    expect((await failureOf(pull())).message).toMatch(/must answer as the hub does.*HF_ENDPOINT/);
    const error = await failureOf(pull({}, { HF_ENDPOINT: "http://127.0.0.1:9" })); // discard: nobody listens
    expect(error.code).toBe("network");
    expect((await failureOf(pull({}, { HF_HUB_OFFLINE: "1" }))).message).toMatch(/HF_HUB_OFFLINE/);
  });

  it("come before a download that the disk cannot hold", async () => {
    server.misbehave = (request, response) => {
      if (!request.path.startsWith("/api/")) return false;
      const lfs = { sha256: sha256(weights), size: 1e15 };
      response.end(JSON.stringify({ sha: commit, siblings: [{ rfilename: "model.safetensors", lfs }] }));
      return true;
    };
    const error = await failureOf(pull());
    expect(error.message).toMatch(/needs free disk space, got .* GB free for 1000000\.00 GB\..*HF_HUB_CACHE/);
    expect(server.fetches("model.safetensors")).toEqual([]);
  });
});

describe("the token", () => {
  it("is sent to the endpoint, and not to the host that it redirects to", async () => {
    server.options = { repositories, token: "secret" };
    await pull({}, { HF_TOKEN: "secret" });
    expect(await readFile(weightsBlob())).toEqual(weights);
    const of = (host: string) =>
      new Set(server.seen.filter((each) => each.host === host).map((each) => each.authorization));
    expect(of("hub")).toEqual(new Set(["Bearer secret"]));
    expect(of("files")).toEqual(new Set([undefined]));
  });
});

describe("two pulls at once", () => {
  it("fetch each file once", async () => {
    server.misbehave = (request, response, content) => {
      if (request.host !== "files" || !content) return false;
      setTimeout(() => response.writeHead(200, { "content-length": content.length }).end(content), 300);
      return true;
    };
    const results = await Promise.all([pull(), pull(), pull()]);
    expect(results.map(({ downloadedBytes }) => downloadedBytes).reduce((a, b) => a + b)).toBe(300_022);
    expect(await readFile(weightsBlob())).toEqual(weights);
    expect(server.fetches("model.safetensors").filter(({ host }) => host === "files")).toHaveLength(1);
  });

  it("do not wait for one that died", async () => {
    await pull();
    await rm(weightsBlob());
    const lock = join(folder, ".locks/models--owner--model", `${sha256(weights)}.florence-lock`);
    await writeFile(lock, "1@another-host 00"); // alive for all that can be known, but silent for a minute
    const minuteAgo = new Date(Date.now() - 60_000);
    await utimes(lock, minuteAgo, minuteAgo);
    expect((await pull()).downloadedBytes).toBe(300_000);
    await expect(stat(lock)).rejects.toThrow("ENOENT");
  });
});
