import * as zlib from "node:zlib";
import { UserError } from "../core/errors.ts";

/** A file inside a Qt resource archive. */
export interface ResourceFile {
  readonly path: string; // "/gcompris/src/activities/…"
  readonly bytes: Uint8Array;
}

const isCompressed = 1; // zlib, after the unpacked size in 4 bytes
const isFolder = 2;
const isZstandard = 4;

/**
 * The files of a Qt resource archive (`.rcc`, format versions 1 to 3), as Qt's resource compiler writes them: a header
 * with the offsets of a tree of nodes, of the names (UTF-16, each with its hash) and of the data.
 *
 * @param name  what errors call the archive
 * @throws      UserError `corrupt` if an offset, a hash or a size does not fit, `unsupported` for another version or for
 *              zstd on a Node.js without it
 */
export function readQtResources(archive: Uint8Array, name: string): ResourceFile[] {
  const reader = new ResourceReader(archive, name);
  return [...reader.filesBelow(0, "")];
}

class ResourceReader {
  readonly #bytes: Buffer;
  readonly #name: string;
  readonly #nodeSize: number;
  readonly #tree: number;
  readonly #data: number;
  readonly #names: number;
  readonly #visited = new Set<number>();

  constructor(archive: Uint8Array, name: string) {
    this.#bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
    this.#name = name;
    if (this.#slice(0, 4).toString("latin1") !== "qres") throw this.#damage('the mark "qres" at its beginning');
    const version = this.#slice(4, 4).readUInt32BE();
    if (version < 1 || version > 3) {
      throw new UserError("unsupported", `${name}: must be a Qt resource archive of version 1 to 3, got ${version}.`);
    }
    const offsets = this.#slice(8, 12);
    this.#tree = offsets.readUInt32BE(0);
    this.#data = offsets.readUInt32BE(4);
    this.#names = offsets.readUInt32BE(8);
    this.#nodeSize = version === 1 ? 14 : 22; // later versions add the time of last change
  }

  /** The files below a node, which is `index` in the tree and called `path`. */
  *filesBelow(index: number, path: string): Generator<ResourceFile> {
    if (this.#visited.has(index)) throw this.#damage(`each node once, not node ${index} again`);
    this.#visited.add(index);
    const node = this.#slice(this.#tree + index * this.#nodeSize, this.#nodeSize);
    const flags = node.readUInt16BE(4);
    const own = index === 0 ? path : `${path}/${this.#nameAt(node.readUInt32BE(0))}`;
    if (flags & isFolder) {
      const [count, first] = [node.readUInt32BE(6), node.readUInt32BE(10)];
      for (let child = first; child < first + count; child++) yield* this.filesBelow(child, own);
    } else {
      yield { path: own, bytes: this.#contentAt(node.readUInt32BE(10), flags, own) };
    }
  }

  #nameAt(offset: number): string {
    const head = this.#slice(this.#names + offset, 6);
    const units = this.#slice(this.#names + offset + 6, 2 * head.readUInt16BE(0));
    let hash = 0;
    let text = "";
    for (let i = 0; i < units.length; i += 2) {
      const unit = units.readUInt16BE(i);
      text += String.fromCharCode(unit);
      hash = (hash << 4) + unit;
      hash = (hash ^ ((hash & 0xf0000000) >>> 23)) & 0x0fffffff;
    }
    if (hash !== head.readUInt32BE(2)) throw this.#damage(`a name with its hash at ${offset}`);
    return text;
  }

  #contentAt(offset: number, flags: number, path: string): Uint8Array {
    const length = this.#slice(this.#data + offset, 4).readUInt32BE();
    const stored = this.#slice(this.#data + offset + 4, length);
    if (flags & isZstandard) return this.#unpackZstandard(stored, path);
    if (!(flags & isCompressed)) return stored;
    if (length < 4) throw this.#damage(`the unpacked size of ${path}`);
    const size = stored.readUInt32BE();
    let unpacked: Buffer;
    try {
      unpacked = zlib.inflateSync(stored.subarray(4), { maxOutputLength: size + 1 });
    } catch (cause) {
      throw this.#damage(`whole zlib data for ${path}`, cause);
    }
    if (unpacked.length !== size) throw this.#damage(`${size} bytes for ${path}`);
    return unpacked;
  }

  #unpackZstandard(stored: Buffer, path: string): Uint8Array {
    const decompress: unknown = Reflect.get(zlib, "zstdDecompressSync"); // from Node.js 22.15 on
    if (typeof decompress !== "function") {
      throw new UserError(
        "unsupported",
        `${this.#name}: ${path} is packed with zstd, which needs Node.js 22.15 or later.`,
      );
    }
    try {
      return decompress(stored) as Buffer;
    } catch (cause) {
      throw this.#damage(`whole zstd data for ${path}`, cause);
    }
  }

  #slice(start: number, length: number): Buffer {
    if (start + length > this.#bytes.length) throw this.#damage(`${length} bytes at ${start}`);
    return this.#bytes.subarray(start, start + length);
  }

  #damage(expected: string, cause?: unknown): UserError {
    const rule = `${this.#name}: must be a whole Qt resource archive with ${expected}, got none`;
    return new UserError("corrupt", `${rule}. Get the file again.`, { cause });
  }
}
