import { ShapeError } from "../core/errors.ts";
import { type Interval, wilsonInterval } from "./intervals.ts";

const Z_95 = 1.959963984540054;

/**
 * The 95 % interval of a share whose trials come in groups that are alike inside, such as the captions of one image:
 * Wilson's, for as many independent trials as give the variance that is seen between groups. Narrower than the
 * trials are many, wider than the groups are few.
 *
 * @param hits [groups], successes of each group
 * @param trials [groups], trials of each group, positive
 */
export function groupedShareInterval(hits: ArrayLike<number>, trials: ArrayLike<number>): Interval {
  const groups = trials.length;
  if (groups === 0 || hits.length !== groups) {
    throw new ShapeError(`Grouped interval: needs hits and trials a group, got ${hits.length} and ${groups}.`);
  }
  let [total, successes] = [0, 0];
  for (let i = 0; i < groups; i++) {
    total += trials[i];
    successes += hits[i];
  }
  const share = successes / total;
  let variance = 0; // of the share, by the linearised ratio estimator
  for (let i = 0; i < groups; i++) variance += ((hits[i] - share * trials[i]) / total) ** 2;
  if (groups > 1) variance *= groups / (groups - 1);
  // Without any spread the groups are all that is known of, and never more trials than were made.
  const effective = variance > 0 ? Math.min(total, (share * (1 - share)) / variance) : groups;
  return wilsonInterval(share * effective, effective);
}

/**
 * The 95 % interval of a mean of shares over strata, such as the mean of the accuracies of classes: a normal one, of
 * each stratum's variance with one success and one failure added, so that a class that is always right is not taken
 * for certain.
 *
 * @param hits [strata], successes of each
 * @param trials [strata], trials of each; strata without any are left out
 */
export function meanOfSharesInterval(hits: ArrayLike<number>, trials: ArrayLike<number>): Interval {
  let [strata, sum, variance] = [0, 0, 0];
  for (let i = 0; i < trials.length; i++) {
    if (trials[i] === 0) continue;
    strata++;
    sum += hits[i] / trials[i];
    const shrunk = (hits[i] + 1) / (trials[i] + 2);
    variance += (shrunk * (1 - shrunk)) / (trials[i] + 2);
  }
  if (strata === 0) throw new ShapeError("Mean of shares: needs a stratum with trials, got none.");
  const half = (Z_95 * Math.sqrt(variance)) / strata;
  return [Math.max(0, sum / strata - half), Math.min(1, sum / strata + half)];
}
