import { createRequire } from "node:module";
import { writeDetails } from "./evaluation-details.ts";
import type { EvaluationContext, EvaluationTask, PlannedScore, Score } from "./evaluation-task.ts";
import type { Ledger } from "./ledger.ts";
import { type EntryIdentity, entryKey, type LedgerEntry, ledgerEntrySchema } from "./ledger-entry.ts";

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
  const plan = task.plan(context);
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
