import { UserError } from "../../core/errors.ts";

/**
 * SentencePiece's compiled normalisation rules: a double-array trie over UTF-8 (Aoe 1989) whose leaves point at
 * replacement texts. Kudo and Richardson, arXiv:1808.06226 §3.2.
 *
 * Layout: the trie's length in bytes as uint32, its units as uint32 (all little-endian), then replacements, each ended
 * by a zero byte. A unit holds a label in bits 0–7 and 31, "has a leaf" in bit 8, and the offset of its children in bits
 * 10–30, 256 times as far if bit 9 is set; a leaf holds the place of its replacement.
 */
export class CharacterMap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;
  readonly #utf8 = new TextDecoder();

  /** @throws UserError `corrupt` if the trie is longer than the data */
  constructor(data: Uint8Array) {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const trieBytes = data.length >= 4 ? view.getUint32(0, true) : 0;
    if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes + 4 > data.length) {
      throw new UserError("corrupt", `the normalisation rules must hold a trie, got ${data.length} bytes without one.`);
    }
    this.#units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#replacements = data.subarray(4 + trieBytes);
  }

  /** Every rule that `bytes` from `start` on begins with, shortest first: bytes it covers, place of its replacement. */
  *matches(bytes: Uint8Array, start: number): Generator<{ length: number; place: number }> {
    const units = this.#units;
    let at = offsetOf(units[0]);
    for (let i = start; i < bytes.length; i++) {
      at ^= bytes[i];
      const unit = units[at];
      if (unit === undefined || bytes[i] === 0 || (unit & 0x800000ff) >>> 0 !== bytes[i]) return;
      at ^= offsetOf(unit);
      if ((unit >>> 8) & 1) yield { length: i - start + 1, place: (units[at] ?? 0) & 0x7fffffff };
    }
  }

  /** The replacement at a place. */
  textAt(place: number): string {
    const end = this.#replacements.indexOf(0, place);
    return this.#utf8.decode(this.#replacements.subarray(place, end < 0 ? undefined : end));
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
