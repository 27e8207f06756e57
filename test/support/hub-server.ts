import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubServerFile {
  readonly bytes: Buffer;
  /** Kept on the second host, behind a redirect, as large files are. */
  readonly isLarge?: boolean;
}

/** What a request was: for tests that ask how a file was fetched. */
export interface SeenRequest {
  readonly host: "hub" | "files";
  readonly method: string;
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** Does something else with a request; returns whether it has. */
export type Misbehaviour = (request: SeenRequest, response: ServerResponse, content: Buffer | undefined) => boolean;

export interface HubServerOptions {
  /** By repository, then revision: the files of each. */
  readonly repositories?: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, HubServerFile>>>>>>;
  /** A model of `repositories` that wants this token. */
  readonly token?: string;
  /** Lists names only, as some mirrors do. Default false. */
  readonly hidesChecksums?: boolean;
  /** The query of the addresses that large files are redirected to. Default: none. */
  readonly signature?: string;
}

/** Two HTTP servers on this machine that speak the hub's protocol: one for the API and small files, one for large. */
export class HubServer {
  readonly seen: SeenRequest[] = [];
  /** Asked first at each request. */
  misbehave: Misbehaviour = () => false;
  options: HubServerOptions;
  readonly #hub: Server;
  readonly #files: Server;

  private constructor(options: HubServerOptions) {
    this.options = options;
    this.#hub = createServer((request, response) => this.#serve("hub", request, response));
    this.#files = createServer((request, response) => this.#serve("files", request, response));
  }

  static async start(options: HubServerOptions): Promise<HubServer> {
    const server = new HubServer(options);
    for (const each of [server.#hub, server.#files]) {
      await new Promise<void>((resolve) => each.listen(0, "127.0.0.1", resolve));
    }
    return server;
  }

  /** For HF_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const each of [this.#hub, this.#files]) {
      each.closeAllConnections();
      await new Promise((resolve) => each.close(resolve));
    }
  }

  /** The requests for the content of a file (not HEAD). */
  fetches(name: string): SeenRequest[] {
    return this.seen.filter(({ method, path }) => method === "GET" && path.endsWith(`/${name}`));
  }

  #serve(host: "hub" | "files", request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", this.endpoint);
    const path = decodeURIComponent(url.pathname);
    const { range, authorization } = request.headers;
    const seen: SeenRequest = { host, method: request.method ?? "", path, query: url.search, range, authorization };
    this.seen.push(seen);
    const file = this.#find(path);
    if (this.misbehave(seen, response, file?.bytes)) return;
    const { token } = this.options;
    if (host === "hub" && token && authorization !== `Bearer ${token}`) {
      refuse(response, 401, "RepoNotFound"); // as the hub does: nobody learns which private names exist
      return;
    }
    if (host === "hub" && path.startsWith("/api/models/")) this.#describe(path, url, response);
    else if (!file) refuse(response, 404, "EntryNotFound");
    else if (host === "hub" && file.isLarge) this.#redirect(path, file, response);
    else sendFile(response, seen, file);
  }

  #describe(path: string, url: URL, response: ServerResponse): void {
    const match = /^\/api\/models\/([^/]+\/[^/]+)(?:\/revision\/(.+))?$/.exec(path);
    const revisions = match && this.options.repositories?.[match[1]];
    if (!match || !revisions) {
      refuse(response, 404, "RepoNotFound");
      return;
    }
    const revision = match[2] ?? "main";
    const name = Object.keys(revisions).find((each) => each === revision || commitOf(match[1], each) === revision);
    if (name === undefined) {
      refuse(response, 404, "RevisionNotFound");
      return;
    }
    const withBlobs = url.searchParams.get("blobs") === "true" && !this.options.hidesChecksums;
    const siblings = Object.entries(revisions[name]).map(([rfilename, file]) => {
      const lfs = { sha256: sha256(file.bytes), size: file.bytes.length, pointerSize: 130 };
      const known = {
        rfilename,
        size: file.bytes.length,
        blobId: gitSha1(file.bytes),
        ...(file.isLarge ? { lfs } : {}),
      };
      return withBlobs ? known : { rfilename };
    });
    const body = JSON.stringify({ _id: "0", id: match[1], modelId: match[1], sha: commitOf(match[1], name), siblings });
    response.writeHead(200, { "content-type": "application/json" }).end(body);
  }

  #find(path: string): HubServerFile | undefined {
    const match = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const revisions = match && this.options.repositories?.[match[1]];
    for (const [revision, files] of Object.entries(revisions ?? {})) {
      if (match && (revision === match[2] || commitOf(match[1], revision) === match[2])) return files[match[3]];
    }
    return undefined;
  }

  #redirect(path: string, { bytes }: HubServerFile, response: ServerResponse): void {
    const { port } = this.#files.address() as AddressInfo;
    const { signature } = this.options;
    response
      .writeHead(302, {
        location: `http://127.0.0.1:${port}${path}${signature ? `?${signature}` : ""}`,
        "x-repo-commit": commitInPath(path),
        "x-linked-size": bytes.length,
        "x-linked-etag": `"${sha256(bytes)}"`,
      })
      .end();
  }
}

/** The commit of a resolve path, whose revision may be a branch. */
function commitInPath(path: string): string {
  const [, owner, name, , revision] = path.split("/");
  return /^[0-9a-f]{40}$/.test(revision) ? revision : commitOf(`${owner}/${name}`, revision);
}

/** The commit that a revision stands for here. */
export function commitOf(repository: string, revision: string): string {
  return createHash("sha1").update(`${repository} ${revision}`).digest("hex");
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function gitSha1(bytes: Buffer): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

/** Sends the first `count` bytes of what was asked for, then drops the connection. */
export function dropAfter(count: number, response: ServerResponse, { range }: SeenRequest, content: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const rest = content.subarray(from);
  response.writeHead(range ? 206 : 200, {
    "content-length": rest.length,
    ...(range ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
  });
  response.write(rest.subarray(0, count), () => setTimeout(() => response.destroy(), 20));
}

/** Answers with a status and the hub's code for the reason. */
export function refuse(
  response: ServerResponse,
  status: number,
  reason = "",
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...(reason ? { "x-error-code": reason } : {}), ...headers }).end();
}

function sendFile(
  response: ServerResponse,
  { method, range, path, host }: SeenRequest,
  { bytes }: HubServerFile,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  if (from >= bytes.length && from > 0) {
    refuse(response, 416);
    return;
  }
  response.writeHead(range ? 206 : 200, {
    etag: `"${host === "files" ? sha256(bytes) : gitSha1(bytes)}"`,
    "x-repo-commit": commitInPath(path),
    "accept-ranges": "bytes",
    "content-length": bytes.length - from,
    ...(range ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  response.end(method === "HEAD" ? undefined : bytes.subarray(from));
}
