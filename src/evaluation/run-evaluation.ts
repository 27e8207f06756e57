import { createRequire } from "node:module";
import { writeDetails } from "./evaluation-details.ts";
import { imagesOfSplit } from "./evaluation-parts.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "./evaluation-task.ts";
import type { Ledger } from "./ledger.ts";
import { type EntryIdentity, entryKey, type LedgerEntry, ledgerEntrySchema } from "./ledger-entry.ts";
import { countTunedOn } from "./tuned-on.ts";

/** An entry, and whether this run computed it. */
export interface EvaluatedEntry {
  readonly entry: LedgerEntry;
  readonly isNew: boolean;
}

/**
 * The scores of a task, in the order of its plan. Those that the ledger has are taken from it, so an interrupted run
 * goes on where it was; the others are computed and appended one by one.
 *
 * @param options.force  compute all anew
 */
export async function* evaluate(
  task: EvaluationTask,
  context: EvaluationContext,
  ledger: Ledger,
  { force = false }: { readonly force?: boolean } = {},
): AsyncGenerator<EvaluatedEntry> {
  const plan = planScores(task, context);
  const known = plan.map((planned) => (force ? undefined : ledger.find(identityOf(context, planned))));
  const missing = plan.filter((_, i) => !known[i]);
  const results = task.run(context, missing)[Symbol.asyncIterator]();
  try {
    for (const entry of known) {
      if (entry) {
        yield { entry, isNew: false };
        continue;
      }
      const started = performance.now();
      const result = await results.next();
      if (result.done) throw new Error(`${task.name}: computed fewer scores than were planned`);
      const [planned, score] = result.value;
      const seconds = (performance.now() - started) / 1000;
      yield { entry: await record(context, ledger, planned, score, seconds), isNew: true };
    }
  } finally {
    await results.return?.();
  }
}

/**
 * The scores of a task, those of pictures that the model was tuned on being marked in their protocols and warned of.
 *
 * @throws UserError if the set or the options do not suit the task
 */
export function planScores(task: EvaluationTask, context: EvaluationContext): PlannedScore[] {
  const { set, parts, model, onWarning } = context;
  const tunedOnOf = (split: string): string | undefined => {
    const images = imagesOfSplit(set, parts, split);
    const seen = countTunedOn(images, context.tunedOn);
    return seen > 0 ? `${seen} of ${images.length}` : undefined;
  };
  const marks = new Map<string, string | undefined>();
  const plan = task.plan(context);
  if (!context.tunedOn) return plan;
  for (const { split } of plan) if (!marks.has(split)) marks.set(split, tunedOnOf(split));
  for (const [split, mark] of marks) {
    const warning = JSON.stringify(["tuned on", split]);
    if (!mark || context.memory.has(warning)) continue; // said once, however many tasks score the split
    context.memory.set(warning, true);
    const rule = `${model.name} was tuned on ${mark} pictures of split "${split}"`;
    onWarning?.(`${set.name}: ${rule}; the score says little of other pictures.`);
  }
  return plan.map((planned) => {
    const mark = marks.get(planned.split);
    return mark ? { ...planned, protocol: { ...planned.protocol, tunedOn: mark } } : planned;
  });
}

/** What decides a planned score of this context. */
export function identityOf({ model, set }: EvaluationContext, planned: PlannedScore): EntryIdentity {
  const { task, metric, protocol, seed, split } = planned;
  const data = { fingerprint: set.fingerprint, split };
  return { task, metric, protocol, seed, model: { fingerprint: model.fingerprint }, data };
}

async function record(
  context: EvaluationContext,
  ledger: Ledger,
  planned: PlannedScore,
  { details, ...score }: Score,
  seconds: number,
): Promise<LedgerEntry> {
  const { model, set, imageSize } = context;
  const { task, metric, protocol, seed, split } = planned;
  const entry: LedgerEntry = ledgerEntrySchema.parse({
    task,
    metric,
    ...score,
    model: { name: imageSize ? `${model.name}, ${imageSize} px` : model.name, fingerprint: model.fingerprint },
    data: { name: set.name, fingerprint: set.fingerprint, split },
    protocol,
    seed,
    // The details are on the disk before the line that names them.
    ...(details && { details: await writeDetails(ledger.path, entryKey(identityOf(context, planned)), details) }),
    version: packageVersion,
    seconds: Number(seconds.toFixed(3)),
    date: new Date().toISOString(),
  });
  ledger.append(entry);
  return entry;
}

/** Of this package, as `package.json` says. */
export const packageVersion = (createRequire(import.meta.url)("../../package.json") as { version: string }).version;
