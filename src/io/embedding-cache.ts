import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ShapeError } from "../core/errors.ts";
import { writeAtomically } from "./atomic-files.ts";
import {
  type CachedEmbedding,
  encodeFrame,
  frameHeaderBytes,
  readFrameHeader,
  readFramePayload,
} from "./embedding-frame.ts";
import { decodingVersion } from "./images.ts";

export interface EmbeddingCacheOptions {
  readonly cacheFolder: string;
  /** The model that made the embeddings; each has a cache of its own. */
  readonly fingerprint: string;
  readonly embedDim: number;
}

const segmentSuffix = ".segment";
const temporarySuffix = ".tmp"; // as io/atomic-files names what a killed merge leaves behind
const temporaryLifetimeMs = 3_600_000;
const recordsPerFrame = 1024;
const maxSegments = 8;

/**
 * The embeddings of one folder's files by one model, kept on disk between runs.
 *
 * Each run appends checksummed frames to a segment file of its own, so a killed run loses no frame it had finished,
 * and runs at the same time do not disturb each other. `close` merges them once there are many, or once much in them is out of date.
 */
export class EmbeddingCache {
  readonly folder: string;
  readonly #embedDim: number;
  readonly #records: Map<string, CachedEmbedding>;
  readonly #earlierSegments: readonly string[];
  #recordsOnDisk: number;
  #ownSegment: { readonly path: string; readonly handle: FileHandle } | undefined;

  private constructor(folder: string, embedDim: number, segments: LoadedSegments) {
    this.folder = folder;
    this.#embedDim = embedDim;
    this.#records = segments.records;
    this.#earlierSegments = segments.paths;
    this.#recordsOnDisk = segments.recordCount;
  }

  /** Opens, or begins, the cache for `sourceFolder`. Damaged parts are left out: their files are embedded again. */
  static async open(sourceFolder: string, options: EmbeddingCacheOptions): Promise<EmbeddingCache> {
    const source = createHash("sha256").update(resolve(sourceFolder)).digest("hex").slice(0, 24);
    const makers = `${options.fingerprint.slice(0, 24)}-${decodingVersion}`;
    const folder = join(options.cacheFolder, "embeddings", makers, source);
    await mkdir(folder, { recursive: true });
    return new EmbeddingCache(folder, options.embedDim, await loadSegments(folder, options.embedDim));
  }

  /** Number of embeddings held, those of vanished files included. */
  get size(): number {
    return this.#records.size;
  }

  /** The embedding of a file, if it was made from the same path, size and time of change. Treat it as read-only. */
  get(absolutePath: string, size: number, mtimeMs: number): Float32Array | undefined {
    const record = this.#records.get(absolutePath);
    return record && record.size === size && record.mtimeMs === mtimeMs ? record.embedding : undefined;
  }

  /** Stores embeddings; they are on disk when it resolves. */
  async append(records: readonly CachedEmbedding[]): Promise<void> {
    if (records.length === 0) return;
    for (const record of records) {
      if (record.embedding.length !== this.#embedDim) {
        throw new ShapeError(
          `EmbeddingCache.append: embeddings must have ${this.#embedDim} numbers, got ${record.embedding.length}`,
        );
      }
    }
    this.#ownSegment ??= await this.#beginSegment();
    await this.#ownSegment.handle.appendFile(encodeFrame(records, this.#embedDim));
    await this.#ownSegment.handle.datasync();
    for (const record of records) this.#records.set(record.path, record);
    this.#recordsOnDisk += records.length;
  }

  /** Forgets every file that is not in `paths`. Returns how many were dropped. */
  retain(paths: ReadonlySet<string>): number {
    let dropped = 0;
    for (const path of this.#records.keys()) {
      if (paths.has(path)) continue;
      this.#records.delete(path);
      dropped++;
    }
    return dropped;
  }

  /** Ends this run's segment; merges when there are many, or when much of one is out of date. */
  async close(): Promise<void> {
    const own = this.#ownSegment;
    this.#ownSegment = undefined;
    await own?.handle.close();
    const segments = own ? [...this.#earlierSegments, own.path] : this.#earlierSegments;
    const isWasteful = this.#recordsOnDisk > 1.25 * this.#records.size + 16;
    if (segments.length > maxSegments || isWasteful) await this.#merge(segments);
  }

  async #merge(segments: readonly string[]): Promise<void> {
    const records = [...this.#records.values()];
    await writeAtomically(join(this.folder, segmentName()), async (file) => {
      for (let start = 0; start < records.length; start += recordsPerFrame) {
        await file.appendFile(encodeFrame(records.slice(start, start + recordsPerFrame), this.#embedDim));
      }
    });
    for (const path of segments) await rm(path, { force: true });
  }

  async #beginSegment(): Promise<{ path: string; handle: FileHandle }> {
    const path = join(this.folder, segmentName());
    return { path, handle: await open(path, "wx") };
  }
}

interface LoadedSegments {
  readonly records: Map<string, CachedEmbedding>;
  readonly paths: string[];
  /** Records read, superseded ones included. */
  readonly recordCount: number;
}

async function loadSegments(folder: string, embedDim: number): Promise<LoadedSegments> {
  const records = new Map<string, CachedEmbedding>();
  const paths: string[] = [];
  let recordCount = 0;
  for (const name of (await readdir(folder)).sort()) {
    const path = join(folder, name);
    if (name.endsWith(temporarySuffix)) await removeIfOld(path);
    if (!name.endsWith(segmentSuffix)) continue;
    paths.push(path);
    for await (const record of readSegment(path, embedDim)) {
      records.set(record.path, record); // segments are named by time: the later one is right
      recordCount++;
    }
  }
  return { records, paths, recordCount };
}

/** The records of a segment up to its end or its first damaged frame. */
async function* readSegment(path: string, embedDim: number): AsyncGenerator<CachedEmbedding> {
  const handle = await open(path, "r");
  try {
    let position = 0;
    for (;;) {
      const header = readFrameHeader(await readExactly(handle, position, frameHeaderBytes), embedDim);
      if (!header) return;
      const payload = await readExactly(handle, position + frameHeaderBytes, header.payloadBytes);
      const records = readFramePayload(header, payload, embedDim);
      if (!records) return;
      yield* records;
      position += frameHeaderBytes + header.payloadBytes;
    }
  } finally {
    await handle.close();
  }
}

async function readExactly(handle: FileHandle, position: number, length: number): Promise<Buffer | undefined> {
  const { size } = await handle.stat();
  if (position + length > size) return undefined;
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
  return bytesRead === length ? buffer : undefined;
}

async function removeIfOld(path: string): Promise<void> {
  try {
    if (Date.now() - (await stat(path)).mtimeMs > temporaryLifetimeMs) await rm(path, { force: true });
  } catch {
    // Another run finished with it between the listing and now: that is what we wanted.
  }
}

function segmentName(): string {
  return `${String(Date.now()).padStart(15, "0")}-${process.pid}-${randomBytes(4).toString("hex")}${segmentSuffix}`;
}
