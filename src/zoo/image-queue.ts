import { UserError } from "../core/errors.ts";
import type { PreparedImage } from "../core/image.ts";
import { onAbort } from "../runtime/abort-listeners.ts";
import type { CallOptions } from "../runtime/worker-thread.ts";
import type { ModelCallOptions } from "./florence-model.ts";
import type { ImageOutput, ImageRun, ImagesPayload } from "./image-run.ts";

/** A session of an image tower, in a thread of its own. */
export interface ImageSession {
  /** Its thread has ended, so that it is of no more use. */
  readonly hasFailed: boolean;
  images(payload: ImagesPayload, options: CallOptions): Promise<ImageRun>;
  release(): Promise<void>;
}

export interface ImageQueueOptions {
  /** What errors call the model. */
  readonly name: string;
  /** Of the pictures' square, pixels. */
  readonly side: number;
  /** How many sessions `start` gives. */
  readonly sessions: number;
  /** Asked once, when there is something to compute; each session is used as soon as it is there. */
  readonly start: () => AsyncIterable<ImageSession>;
}

/** Pictures of one call. */
interface Job {
  readonly images: readonly PreparedImage[];
  readonly output: ImageOutput;
  readonly signal: AbortSignal | undefined;
  readonly rows: Float32Array[];
  /** The first that no session has taken yet. */
  next: number;
  missing: number;
  readonly resolve: (rows: Float32Array[]) => void;
  readonly reject: (reason: unknown) => void;
}

const largestRun = 32;
/** Pictures of the first runs, all sessions together. */
const firstPictures = 4;
/** How long a run shall take: it cannot be stopped, and an abort is to be followed within a second. */
const runMilliseconds = 400;
/** One run of so many is of the call that came first: small calls one after the other must not hold up a large one for ever. */
const runsPerOldest = 4;

/**
 * Pictures that wait for the sessions of an image tower. A session that is free takes the next pictures by itself, of the
 * call that has the fewest left, so that no session waits for another and small calls do not wait for large ones. A
 * session whose thread has ended is given up; when none is left, the next call starts them anew.
 */
export class ImageQueue {
  readonly #options: ImageQueueOptions;
  readonly #jobs = new Set<Job>();
  readonly #sessions = new Set<ImageSession>();
  readonly #idle: ImageSession[] = [];
  #started: Promise<void> | undefined;
  #isStarting = false;
  #isDisposed = false;
  #runs = 0;
  #millisecondsPerImage = Number.POSITIVE_INFINITY;

  constructor(options: ImageQueueOptions) {
    this.#options = options;
  }

  /** Whether calls are under way. */
  get isBusy(): boolean {
    return this.#jobs.size > 0;
  }

  /** @returns  a row a picture, in order. An abort rejects at once; no session takes pictures of the call afterwards. */
  async encode(
    images: readonly PreparedImage[],
    output: ImageOutput,
    { signal }: ModelCallOptions = {},
  ): Promise<Float32Array[]> {
    signal?.throwIfAborted();
    for (const image of images) this.#check(image);
    if (images.length === 0) return [];
    let job: Job | undefined;
    const done = onAbort(signal, () => job?.reject(signal?.reason));
    try {
      return await new Promise((resolve, reject) => {
        job = { images, output, signal, rows: [], next: 0, missing: images.length, resolve, reject };
        this.#jobs.add(job);
        this.#begin();
      });
    } finally {
      done();
      if (job) this.#jobs.delete(job);
    }
  }

  /** Rejects what is not done yet, and lets go of the sessions after the runs under way. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    for (const job of this.#jobs) job.reject(this.#closed());
    await this.#started;
    await Promise.all([...this.#sessions].map((session) => session.release()));
  }

  #begin(): void {
    if (this.#isDisposed) throw this.#closed();
    this.#started ??= this.#start();
    this.#share();
  }

  async #start(): Promise<void> {
    this.#isStarting = true;
    try {
      for await (const session of this.#options.start()) {
        this.#sessions.add(session);
        this.#idle.push(session);
        this.#share();
      }
    } catch (error) {
      for (const job of this.#jobs) job.reject(error);
      this.#jobs.clear();
      const made = [...this.#sessions];
      this.#sessions.clear();
      this.#idle.length = 0;
      await Promise.allSettled(made.map((session) => session.release()));
    } finally {
      this.#isStarting = false;
    }
    this.#startAnewIfNoneIsLeft(); // at the next call, if no call waits
  }

  #share(): void {
    while (this.#idle.length > 0 && !this.#isDisposed) {
      const job = ++this.#runs % runsPerOldest === 0 ? this.#oldest() : this.#shortest();
      if (!job) return;
      const session = this.#idle.pop() as ImageSession;
      if (session.hasFailed) this.#giveUp(session);
      else void this.#run(session, job);
    }
  }

  #oldest(): Job | undefined {
    for (const job of this.#jobs) if (job.next < job.images.length) return job;
    return undefined;
  }

  #shortest(): Job | undefined {
    let shortest: Job | undefined;
    for (const job of this.#jobs) {
      const left = job.images.length - job.next;
      if (left > 0 && left < (shortest ? shortest.images.length - shortest.next : Number.POSITIVE_INFINITY)) {
        shortest = job;
      }
    }
    return shortest;
  }

  async #run(session: ImageSession, job: Job): Promise<void> {
    const from = job.next;
    const group = job.images.slice(from, from + this.#runSize(job));
    job.next += group.length;
    const bytes = this.#options.side ** 2 * 3;
    const pixels = new Uint8Array(group.length * bytes);
    for (const [i, { data }] of group.entries()) pixels.set(data, i * bytes);
    try {
      const payload = { pixels, count: group.length, output: job.output };
      const run = await session.images(payload, { signal: job.signal, transfer: [pixels.buffer] });
      // The fastest seen counts: others are slowed down by work beside.
      this.#millisecondsPerImage = Math.min(this.#millisecondsPerImage, run.milliseconds / group.length);
      for (const [i, row] of rowsOf(run.matrix, group.length).entries()) job.rows[from + i] = row;
      job.missing -= group.length;
      if (job.missing === 0) job.resolve(job.rows);
    } catch (error) {
      this.#jobs.delete(job); // no other session begins with what is left of it
      job.reject(error);
    }
    if (session.hasFailed) this.#giveUp(session);
    else if (this.#sessions.has(session)) this.#idle.push(session);
    this.#share();
  }

  #giveUp(session: ImageSession): void {
    this.#sessions.delete(session);
    void session.release().catch(() => undefined);
    this.#startAnewIfNoneIsLeft();
  }

  #startAnewIfNoneIsLeft(): void {
    if (this.#sessions.size > 0 || this.#isStarting || this.#isDisposed) return;
    this.#started = undefined;
    if (this.isBusy) this.#begin();
  }

  /** As many as take the time of a run, and fewer where that gives all sessions the same. */
  #runSize({ images, next }: Job): number {
    const { sessions } = this.#options;
    if (this.#millisecondsPerImage === Number.POSITIVE_INFINITY)
      return Math.max(1, Math.floor(firstPictures / sessions));
    const most = Math.max(1, Math.min(largestRun, Math.floor(runMilliseconds / this.#millisecondsPerImage)));
    const runs = sessions * Math.ceil(images.length / (sessions * most));
    return Math.min(Math.ceil(images.length / runs), images.length - next);
  }

  #check({ side }: PreparedImage): void {
    const { name, side: wanted } = this.#options;
    if (side === wanted) return;
    throw new UserError("mismatch", `${name}: pictures must be prepared to ${wanted} pixels, got ${side}.`);
  }

  #closed(): Error {
    return new Error(`${this.#options.name}: must not be used after dispose()`);
  }
}

export function rowsOf(matrix: Float32Array, rows: number): Float32Array[] {
  const width = matrix.length / rows;
  return Array.from({ length: rows }, (_, i) => matrix.slice(i * width, (i + 1) * width));
}
