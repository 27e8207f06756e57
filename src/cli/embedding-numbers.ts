/** The numbers of a float32 vector in the fewest digits that read back as the same float32 values. */
export function embeddingNumbers(embedding: Float32Array): number[] {
  return Array.from(embedding, (value) => {
    for (let digits = 6; digits < 9; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) return short;
    }
    return Number(value.toPrecision(9)); // nine digits tell any two float32 values apart
  });
}
