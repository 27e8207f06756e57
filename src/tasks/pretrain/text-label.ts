import { hashText } from "../../core/rng.ts";

/** One spelling for texts that count as the same description: Unicode NFC, lower case, single spaces, no end stop. */
export function normalizeText(text: string): string {
  return text
    .normalize("NFC")
    .toLowerCase()
    .replace(/\s+/gu, " ")
    .trim()
    .replace(/\s*\.$/u, "");
}

/**
 * The UniCL label of a description: a 64-bit hash of its normalised text, so that labels compare across batches,
 * machines and runs without a table.
 */
export function textLabel(text: string): bigint {
  const normalized = normalizeText(text);
  const high = BigInt(hashText(normalized));
  const low = BigInt(hashText(`${normalized.length}:${normalized}`));
  return BigInt.asIntN(64, (high << 32n) | low);
}
