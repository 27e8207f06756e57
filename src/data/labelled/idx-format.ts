import { UserError } from "../../core/errors.ts";

/** Fashion-MNIST's classes by their numbers. Xiao et al., arXiv:1708.07747. */
export const fashionClasses: readonly string[] = [
  ...["t-shirt or top", "trouser", "pullover", "dress", "coat"],
  ...["sandal", "shirt", "sneaker", "bag", "ankle boot"],
];

/** What the header of an idx file says. */
export interface IdxSizes {
  readonly sizes: readonly number[];
  readonly start: number; // of the values
}

/**
 * Reads the header of an idx file (LeCun's MNIST format): two zero bytes, the type (8: bytes), the number of axes, then their sizes, big-endian.
 *
 * @throws UserError: corrupt, unsupported (another type or number of axes)
 */
export function idxSizes(path: string, bytes: Uint8Array, fileSize: number, axes: number): IdxSizes {
  const start = 4 + 4 * axes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < start || view.getUint16(0) !== 0) {
    throw new UserError("corrupt", `${path}: must begin with an idx header, got other bytes. Fetch it anew.`);
  }
  if (view.getUint8(2) !== 8 || view.getUint8(3) !== axes) {
    const got = `type ${view.getUint8(2)} and ${view.getUint8(3)} axes`;
    throw new UserError("unsupported", `${path}: must be idx of bytes (type 8) with ${axes} axes, got ${got}.`);
  }
  const sizes = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const expected = start + sizes.reduce((product, size) => product * size, 1);
  if (fileSize === expected && sizes.every((size) => size > 0)) return { sizes, start };
  throw new UserError("corrupt", `${path}: must have ${expected} bytes unpacked, got ${fileSize}. Fetch it anew.`);
}
