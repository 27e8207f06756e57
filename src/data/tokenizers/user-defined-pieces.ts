const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** SentencePiece's user-defined pieces: texts that no rule of normalisation changes, found longest first. */
export class UserDefinedPieces {
  readonly #texts: ReadonlySet<string>;
  readonly #lengths: readonly number[]; // bytes, the longest first
  readonly #firstBytes: ReadonlySet<number>;

  /** @param texts  none of them empty */
  constructor(texts: readonly string[]) {
    const utf8 = new TextEncoder();
    const encoded = texts.map((text) => utf8.encode(text));
    this.#texts = new Set(texts);
    this.#lengths = [...new Set(encoded.map(({ length }) => length))].sort((a, b) => b - a);
    this.#firstBytes = new Set(encoded.map(([first]) => first));
  }

  /** The longest piece that begins at a place in UTF-8, and its bytes. */
  matchAt(bytes: Uint8Array, at: number): { length: number; replacement: string } | undefined {
    if (!this.#firstBytes.has(bytes[at])) return undefined; // of most places, so that little is decoded
    for (const length of this.#lengths) {
      if (at + length > bytes.length) continue;
      const replacement = decoder.decode(bytes.subarray(at, at + length));
      if (this.#texts.has(replacement)) return { length, replacement };
    }
    return undefined;
  }
}
