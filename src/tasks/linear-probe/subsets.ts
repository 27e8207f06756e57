import { ShapeError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import type { Targets } from "../logistic-objective.ts";

/** Rows picked for a k-shot run. */
export interface KShotSubset {
  readonly rows: readonly number[]; // rising
  /** Classes with fewer than k examples, all of which were picked; 0 = the class has none and cannot be learnt. */
  readonly shortClasses: readonly { readonly index: number; readonly available: number }[];
}

/**
 * k examples of every class, drawn without replacement. The draw of a class depends on the seed, the class and its
 * examples alone, and a smaller k gives a part of a larger one's rows, so an exposure curve grows its sets. With several
 * labels an example counts for each of them: classes are filled rarest first, until each has k, or all it has.
 */
export function kShotRows(targets: Targets, k: number, seed: number | string): KShotSubset {
  if (!Number.isInteger(k) || k < 1) throw new ShapeError(`k-shot: k must be a whole number ≥ 1, got ${k}.`);
  const byClass = rowsByClass(targets);
  const rng = new Rng(seed);
  const picked = new Set<number>();
  const order = [...byClass.keys()].sort((a, b) => byClass[a].length - byClass[b].length || a - b);
  for (const index of order) {
    const rows = byClass[index];
    let missing = k - rows.filter((row) => picked.has(row)).length; // 0 or less where other labels brought them
    for (const i of rng.fork(index).permutation(rows.length)) {
      if (missing <= 0) break;
      if (picked.has(rows[i])) continue;
      picked.add(rows[i]);
      missing--;
    }
  }
  const shortClasses = byClass.flatMap((rows, index) => (rows.length < k ? [{ index, available: rows.length }] : []));
  return { rows: [...picked].sort((a, b) => a - b), shortClasses };
}

/**
 * Splits rows into a part to fit on and a part held out for validation, stratified by class: of each class `share` is
 * held out, rounded down, so that a class of one example stays in the fit. Several labels: at random over all rows.
 */
export function holdOutRows(
  targets: Targets,
  share: number,
  seed: number | string,
): { fit: readonly number[]; heldOut: readonly number[] } {
  if (!(share > 0 && share < 1)) throw new ShapeError(`Hold-out: the share must be in (0, 1), got ${share}.`);
  const count = exampleCount(targets);
  const groups = targets.kind === "one" ? rowsByClass(targets) : [Array.from({ length: count }, (_, row) => row)];
  const rng = new Rng(seed);
  const isHeldOut = new Uint8Array(count);
  for (const [index, rows] of groups.entries()) {
    const order = rng.fork(index).permutation(rows.length);
    for (let i = 0; i < Math.floor(share * rows.length); i++) isHeldOut[rows[order[i]]] = 1;
  }
  const all = Array.from({ length: count }, (_, row) => row);
  return { fit: all.filter((row) => !isHeldOut[row]), heldOut: all.filter((row) => isHeldOut[row]) };
}

/** The targets of some rows, in their order. */
export function pickTargets(targets: Targets, rows: readonly number[]): Targets {
  const { classes } = targets;
  if (targets.kind === "one") return { ...targets, labels: rows.map((row) => targets.labels[row]) };
  const truth = new Uint8Array(rows.length * classes);
  for (const [i, row] of rows.entries()) {
    truth.set(targets.truth.subarray(row * classes, (row + 1) * classes), i * classes);
  }
  return { ...targets, truth };
}

/** The features of some rows, in their order. */
export function pickFeatures(features: Float32Array, dim: number, rows: readonly number[]): Float32Array {
  const picked = new Float32Array(rows.length * dim);
  for (const [i, row] of rows.entries()) picked.set(features.subarray(row * dim, (row + 1) * dim), i * dim);
  return picked;
}

/** How many examples there are targets for. */
export function exampleCount(targets: Targets): number {
  return targets.kind === "one" ? targets.labels.length : targets.truth.length / targets.classes;
}

function rowsByClass(targets: Targets): number[][] {
  const groups = Array.from({ length: targets.classes }, (): number[] => []);
  for (let row = 0; row < exampleCount(targets); row++) {
    if (targets.kind === "one") groups[targets.labels[row]].push(row);
    else for (const [c, group] of groups.entries()) if (targets.truth[row * targets.classes + c]) group.push(row);
  }
  return groups;
}
