import { ShapeError, UserError } from "../../core/errors.ts";

/** More labels than this are refused: it is a list of something else by mistake. */
export const mostLabels = 10_000;

/**
 * Checks the labels of a detection: none empty, no two alike; one is enough.
 *
 * @returns the labels without surrounding white space
 * @throws  UserError (bad-argument) that names the offending label
 */
export function checkDetectionLabels(labels: readonly string[]): string[] {
  const trimmed = labels.map((label) => label.trim());
  if (trimmed.length === 0 || trimmed.length > mostLabels) {
    const got = trimmed.length === 0 ? "none" : String(trimmed.length);
    throw new UserError("bad-argument", `Labels: 1 to ${mostLabels} are needed, got ${got}. Say what to look for.`);
  }
  const emptyAt = trimmed.indexOf("");
  if (emptyAt >= 0) {
    throw new UserError("bad-argument", `Labels: none may be empty, got nothing as number ${emptyAt + 1}. Remove it.`);
  }
  const twice = trimmed.find((label, i) => trimmed.indexOf(label) !== i);
  if (twice === undefined) return trimmed;
  throw new UserError("bad-argument", `Labels: each may occur once, got "${twice}" twice. Remove one of them.`);
}

/**
 * The places of labels among those given, for counting or writing what was found by number.
 *
 * @returns a function that throws a UserError (mismatch) for a label without a place: taken for another class it would
 *          spoil both
 */
export function labelPlaces(labels: readonly string[]): (label: string) => number {
  const places = new Map(labels.map((label, i) => [label, i]));
  return (label) => {
    const place = places.get(label);
    if (place !== undefined) return place;
    const rule = `Labels: what is found must be among the ${labels.length} given`;
    throw new UserError("mismatch", `${rule}, got ${JSON.stringify(label)}. Look for spaces at the ends of names.`);
  };
}

/** Class vectors of labels, from words, examples or both. */
export interface ClassPrompts {
  readonly labels: readonly string[];
  readonly vectors: Float32Array; // [K, D], of length 1
}

/**
 * Joins example pictures to words: a class's vector is the mean of its unit vectors, words counting as one and each
 * example as one, brought to length 1 again.
 *
 * @param words     [K, D], a row a label; labels that were not given as words have a row of zeros
 * @param examples  unit vectors by label
 */
export function joinExamples(
  { labels, vectors: words }: ClassPrompts,
  examples: ReadonlyMap<string, readonly Float32Array[]>,
): ClassPrompts {
  const width = words.length / labels.length;
  if (!Number.isInteger(width)) throw new ShapeError(`joinExamples: a row a label, got ${words.length} numbers`);
  const vectors = words.slice();
  for (const [i, label] of labels.entries()) {
    const row = vectors.subarray(i * width, (i + 1) * width);
    for (const example of examples.get(label) ?? []) {
      const length = Math.hypot(...example) || 1;
      for (let d = 0; d < width; d++) row[d] += example[d] / length;
    }
    const length = Math.hypot(...row) || 1; // opposite vectors cancel out: leave zeros rather than NaN
    for (let d = 0; d < width; d++) row[d] /= length;
  }
  return { labels, vectors };
}

/** An example picture, or a box of one, of what is to be found. */
export interface ExamplePrompt {
  readonly label: string;
  readonly path: string;
  readonly box?: readonly [x0: number, y0: number, x1: number, y1: number];
}

/**
 * Reads `[LABEL=]PICTURE[:x0,y0,x1,y1]`; without a label it is the file's name without its ending.
 *
 * @throws UserError (bad-argument) for a box without area
 */
export function parseExample(text: string): ExamplePrompt {
  const match = /^(?:([^=]*)=)?(.+?)(?::(-?[\d.]+),(-?[\d.]+),(-?[\d.]+),(-?[\d.]+))?$/.exec(text);
  const path = match?.[2] ?? "";
  const label = (match?.[1] ?? path.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "")).trim();
  const numbers = match?.[3] === undefined ? undefined : match.slice(3, 7).map(Number);
  if (path !== "" && label !== "" && !numbers) return { label, path };
  const [x0, y0, x1, y1] = numbers ?? [0, 0, 0, 0];
  if (path !== "" && label !== "" && x0 < x1 && y0 < y1) return { label, path, box: [x0, y0, x1, y1] };
  const rule = "Example: must be [LABEL=]PICTURE[:x0,y0,x1,y1] with x0 < x1 and y0 < y1";
  throw new UserError("bad-argument", `${rule}, got ${JSON.stringify(text)}. Correct it.`);
}
