import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { UserError } from "../../core/errors.ts";
import { type RgbImage, rgbImage } from "../../core/image.ts";
import { openPackedFile, type PackedFile } from "../../io/archives.ts";
import { fileError } from "../../io/file-errors.ts";
import { decodeImage } from "../../io/images.ts";
import type { ImagePlace } from "./entry.ts";

const sampledBytes = 4096; // of an image's beginning and of its end
const mostOpenContainers = 128;

/** What tells an image's bytes from others without reading all of them. */
export interface ByteIdentity {
  readonly size: number; // bytes
  /** SHA-256, hexadecimal, of the first and the last 4 KiB: of all bytes, up to 8 KiB. */
  readonly digest: string;
}

/**
 * Reads images by their places. Containers stay open between reads, so that any image of a tar costs one read.
 */
export class ImageStore {
  readonly #containers = new Map<string, Promise<PackedFile>>();
  #container: { path: string; descriptor: number } | undefined; // the one `identityOf` read last
  readonly #buffer = Buffer.alloc(2 * sampledBytes);

  /** The bytes of an image: a whole file, or its part of a container; for grey places its pixels. @throws UserError */
  async read(place: ImagePlace): Promise<Uint8Array> {
    if (place.kind === "file") {
      return readFile(place.path).catch((error: unknown) => {
        throw fileError(place.path, error);
      });
    }
    const length = place.kind === "range" ? place.length : place.width * place.height;
    const held = this.#containers.get(place.path);
    if (held !== undefined) return (await held).read(place.offset, length);
    const opening = openPackedFile(place.path);
    if (this.#containers.size < mostOpenContainers) {
      this.#containers.set(place.path, opening);
      return (await opening).read(place.offset, length);
    }
    const file = await opening;
    return file.read(place.offset, length).finally(() => file.close());
  }

  /** Decodes an image. @param name  what errors call one that lies in a container */
  async decode(place: ImagePlace, name: string): Promise<RgbImage> {
    if (place.kind === "file") return decodeImage(place.path);
    const bytes = await this.read(place);
    if (place.kind === "range") return decodeImage(bytes, { name });
    const image = rgbImage(place.width, place.height);
    for (let i = 0; i < bytes.length; i++) image.data.fill(bytes[i], 3 * i, 3 * i + 3);
    return image;
  }

  /** @throws UserError: not-found, unreadable, empty (0 bytes), corrupt (outside its container) */
  identityOf(place: ImagePlace): ByteIdentity {
    try {
      const { descriptor, start, size } = this.#locate(place);
      try {
        const head = Math.min(size, sampledBytes);
        const tail = Math.min(size - head, sampledBytes);
        readFully(descriptor, this.#buffer, 0, head, start);
        readFully(descriptor, this.#buffer, head, tail, start + size - tail);
        const digest = createHash("sha256")
          .update(this.#buffer.subarray(0, head + tail))
          .digest("hex");
        return { size, digest };
      } finally {
        if (place.kind === "file") closeSync(descriptor);
      }
    } catch (error) {
      throw fileError(place.path, error);
    }
  }

  #locate(place: ImagePlace): { descriptor: number; start: number; size: number } {
    if (place.kind === "file") {
      const descriptor = openSync(place.path, "r");
      const stats = fstatSync(descriptor);
      if (stats.isFile() && stats.size > 0) return { descriptor, start: 0, size: stats.size };
      closeSync(descriptor);
      if (stats.isFile())
        throw new UserError("empty", `${place.path}: must be a picture, got 0 bytes. Replace the file.`);
      throw new UserError("unsupported", `${place.path}: must be a picture, got a folder or a device.`);
    }
    if (this.#container?.path !== place.path) {
      this.endIdentities();
      this.#container = { path: place.path, descriptor: openSync(place.path, "r") };
    }
    const { descriptor } = this.#container;
    const size = place.kind === "range" ? place.length : place.width * place.height;
    return { descriptor, start: place.offset, size };
  }

  /** Closes what {@link identityOf} keeps open. */
  endIdentities(): void {
    if (this.#container) closeSync(this.#container.descriptor);
    this.#container = undefined;
  }

  async close(): Promise<void> {
    this.endIdentities();
    const opened = await Promise.allSettled(this.#containers.values());
    this.#containers.clear();
    await Promise.all(opened.map((one) => (one.status === "fulfilled" ? one.value.close() : undefined)));
  }
}

function readFully(descriptor: number, buffer: Buffer, at: number, length: number, position: number): void {
  for (let done = 0; done < length; ) {
    const bytesRead = readSync(descriptor, buffer, at + done, length - done, position + done);
    if (bytesRead === 0)
      throw new UserError("corrupt", `image bytes at ${position}: must lie within their file, got its end.`);
    done += bytesRead;
  }
}
