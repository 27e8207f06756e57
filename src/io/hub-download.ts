import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";
import type { Checksum, HubFile } from "./hub-repository.ts";
import {
  connectionError,
  type HubConnection,
  hostOf,
  requestSubject,
  sendToHub,
  TransientFailure,
  withRetries,
} from "./hub-requests.ts";
import type { HubReference } from "./hub-settings.ts";

const defaultStallMs = 30_000;

/** One file of the hub, to be brought to `target` by way of `partial`, which survives an interruption. */
export interface Download {
  readonly reference: HubReference;
  readonly file: HubFile;
  /** From the endpoint's root. */
  readonly urlPath: string;
  readonly partial: string;
  readonly target: string;
}

/**
 * Downloads a file, going on where an earlier call stopped, and puts it in place once its checksum is right. Wrong
 * bytes are fetched once more from the beginning.
 *
 * @param onBytes  told how many bytes of the file are here
 * @throws UserError `mismatch` (wrong bytes twice), `network`, `unreadable` (also a full disk), …; the signal's reason
 */
export async function downloadFile(
  connection: HubConnection,
  download: Download,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { file, partial, target } = download;
  await mkdir(dirname(partial), { recursive: true }).catch((error: unknown) => {
    throw fileError(dirname(partial), error);
  });
  for (let isSecond = false; ; isSecond = true) {
    const part = await PartialFile.open(partial, file, connection.signal);
    let digest: string;
    try {
      onBytes(part.bytes);
      if (part.bytes < file.size) await withRetries(connection, () => fetchRest(connection, download, part, onBytes));
      digest = await part.finish();
    } finally {
      await part.close();
    }
    if (digest === file.checksum.hex) break;
    await rm(partial, { force: true });
    if (isSecond) {
      const rule = `${file.checksum.kind} must be ${file.checksum.hex}`;
      const remedy = "The server or something between gives other bytes: try again later, or another HF_ENDPOINT.";
      throw new UserError(
        "mismatch",
        `${requestSubject(download.reference, file.name)}: ${rule}, got ${digest} twice. ${remedy}`,
      );
    }
  }
  await rename(partial, target).catch(async (error: unknown) => {
    // A second process that took the lock at the same instant may have been faster with the same bytes.
    const isThere = await stat(target).catch(() => undefined);
    if (isThere?.size !== file.size) throw fileError(target, error);
  });
}

/** The checksum of a file on disk, of the kind and size that `file` states. @throws UserError naming `path` */
export async function checksumOfFile(path: string, file: HubFile, signal?: AbortSignal): Promise<string> {
  const hash = startHash(file);
  try {
    for await (const chunk of createReadStream(path, signal ? { signal } : {})) hash.update(chunk as Buffer);
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError(path, error);
  }
  return hash.digest("hex");
}

async function fetchRest(
  connection: HubConnection,
  { reference, file, urlPath }: Download,
  part: PartialFile,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { signal, stallMs = defaultStallMs } = connection;
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs);
  const headers: Record<string, string> = { "accept-encoding": "identity" }; // the checksum is of the bytes as they are
  const from = part.bytes;
  if (from > 0) headers.range = `bytes=${from}-`;
  const subject = requestSubject(reference, file.name);
  let url = connection.settings.endpoint;
  try {
    const response = await sendToHub(connection, reference, urlPath, {
      headers,
      signal: AbortSignal.any(signal ? [signal, stall.signal] : [stall.signal]),
      accepts: 416,
      file: file.name,
    });
    url = response.url;
    const isContinued = response.status === 206 && response.headers.get("content-range")?.startsWith(`bytes ${from}-`);
    if (from > 0 && !isContinued) await part.restart(); // the server knows no ranges, or a file of another size
    if (!response.body || response.status === 416 || (response.status === 206 && !isContinued)) {
      await response.body?.cancel();
      const rule = `${hostOf(url)} must answer with the file`;
      const got = `got status ${response.status}`;
      throw new TransientFailure(new UserError("network", `${subject}: ${rule}, ${got}. Try again.`));
    }
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      timer.refresh();
      if (part.bytes + chunk.length > file.size) {
        await part.restart();
        const rule = `${hostOf(url)} must send ${file.size} bytes`;
        throw new TransientFailure(new UserError("mismatch", `${subject}: ${rule}, got more. Try again later.`));
      }
      await part.append(chunk);
      onBytes(part.bytes);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UserError || error instanceof TransientFailure) throw error;
    const cause = stall.signal.aborted ? stall.signal.reason : error;
    throw new TransientFailure(connectionError(subject, url, cause), { hasProgressed: part.bytes > from });
  } finally {
    clearTimeout(timer);
  }
  if (part.bytes < file.size) {
    const rule = `${hostOf(url)} must send ${file.size} bytes`;
    const failure = new UserError("network", `${subject}: ${rule}, got ${part.bytes}. Try again.`);
    throw new TransientFailure(failure, { hasProgressed: part.bytes > from });
  }
}

/** A file as far as it has come, and the hash of that. */
class PartialFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #file: HubFile;
  #hash: Hash;
  #bytes = 0;

  private constructor(path: string, handle: FileHandle, file: HubFile) {
    this.#path = path;
    this.#handle = handle;
    this.#file = file;
    this.#hash = startHash(file);
  }

  /** Opens or makes the file; what it holds is read again, to be hashed. */
  static async open(path: string, file: HubFile, signal?: AbortSignal): Promise<PartialFile> {
    let part: PartialFile | undefined;
    try {
      const handle = await open(path, "a").then(async (made) => {
        await made.close();
        return open(path, "r+"); // written at positions: "a" would ignore them
      });
      part = new PartialFile(path, handle, file);
      const { size } = await handle.stat();
      if (size > file.size) await part.restart();
      else if (size > 0) {
        for await (const chunk of createReadStream(path, { end: size - 1, ...(signal ? { signal } : {}) })) {
          part.#hash.update(chunk as Buffer);
          part.#bytes += (chunk as Buffer).length;
        }
      }
      return part;
    } catch (error) {
      await part?.close();
      signal?.throwIfAborted();
      throw fileError(path, error);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < chunk.length; ) {
        done += (await this.#handle.write(chunk, done, chunk.length - done, this.#bytes + done)).bytesWritten;
      }
    } catch (error) {
      throw fileError(this.#path, error);
    }
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }

  /** Throws away what came so far. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0).catch((error: unknown) => {
      throw fileError(this.#path, error);
    });
    this.#hash = startHash(this.#file);
    this.#bytes = 0;
  }

  /** Makes the bytes safe on disk and returns their checksum. */
  async finish(): Promise<string> {
    await this.#handle.sync().catch((error: unknown) => {
      throw fileError(this.#path, error);
    });
    return this.#hash.digest("hex");
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined); // synced before, or given up
  }
}

function startHash({ checksum, size }: { checksum: Checksum; size: number }): Hash {
  return checksum.kind === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}
