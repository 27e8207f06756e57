import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import type { SplitName } from "./labelled-set.ts";
import type { SetSink, WrittenImage } from "./written-image.ts";

const largestShard = 1e9; // bytes of images
const mostSamples = 10_000;

/** A tar that is being written. */
interface Shard {
  readonly split: SplitName;
  readonly archive: Pack;
  readonly written: Promise<void>;
  samples: number;
  bytes: number;
}

/** Writes webdataset tars, `train-000000.tar` and so on, of at most 10,000 samples: an image and a JSON each. */
export class WebdatasetSink implements SetSink {
  readonly #folder: string;
  readonly #counts = new Map<SplitName, number>();
  #shard: Shard | undefined;
  #samples = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async add({ name, ending, bytes, split, labels, texts }: WrittenImage): Promise<void> {
    const isFull =
      this.#shard && (this.#shard.samples >= mostSamples || this.#shard.bytes + bytes.length > largestShard);
    if (this.#shard && (this.#shard.split !== split || isFull)) await this.#endShard(this.#shard);
    this.#shard ??= this.#startShard(split);
    const key = String(this.#samples++).padStart(9, "0");
    const about = JSON.stringify({ file: name, labels, ...(texts.length > 0 && { captions: texts }) });
    await addEntry(this.#shard, `${key}.${ending}`, bytes);
    await addEntry(this.#shard, `${key}.json`, Buffer.from(about));
    this.#shard.samples++;
    this.#shard.bytes += bytes.length;
  }

  async finish(): Promise<void> {
    if (this.#shard) await this.#endShard(this.#shard);
  }

  #startShard(split: SplitName): Shard {
    const number = this.#counts.get(split) ?? 0;
    this.#counts.set(split, number + 1);
    const path = join(this.#folder, `${split}-${String(number).padStart(6, "0")}.tar`);
    const archive = pack();
    const written = pipeline(archive, createWriteStream(path, { flags: "wx" }));
    written.catch(() => undefined); // awaited with every entry and at the end
    return { split, archive, written, samples: 0, bytes: 0 };
  }

  async #endShard({ archive, written }: Shard): Promise<void> {
    archive.finalize();
    await written;
    this.#shard = undefined;
  }
}

/** Adds one file and waits until the tar has taken it; a failure of the disk ends the waiting. */
async function addEntry({ archive, written }: Shard, name: string, bytes: Uint8Array): Promise<void> {
  const added = new Promise<void>((resolve, reject) => {
    archive.entry({ name, mtime: new Date(0) }, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  await Promise.race([added, written]);
}
