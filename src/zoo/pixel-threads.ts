import type { PreparedImage, RgbImage } from "../core/image.ts";
import { wholeBuffer } from "../runtime/worker-calls.ts";
import type { CallOptions } from "../runtime/worker-thread.ts";
import type { ModelConfig } from "./model-config.ts";
import { PixelPool } from "./pixel-pool.ts";

/** A two-tower model's pictures, decoded and resized in threads. */
export class PixelThreads {
  readonly #preprocessing: ModelConfig["preprocessing"];
  readonly #pool = new PixelPool();

  constructor(preprocessing: ModelConfig["preprocessing"]) {
    this.#preprocessing = preprocessing;
  }

  readFile(path: string, options: CallOptions): Promise<PreparedImage> {
    return this.#pool.call("file", { path, preprocessing: this.#preprocessing }, options);
  }

  prepare({ width, height, data }: RgbImage, options: CallOptions): Promise<PreparedImage> {
    const payload = { image: { width, height, data: wholeBuffer(data) }, preprocessing: this.#preprocessing };
    return this.#pool.call("image", payload, options);
  }

  dispose(): void {
    this.#pool.dispose();
  }
}
