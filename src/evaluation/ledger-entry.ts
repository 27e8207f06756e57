import { createHash } from "node:crypto";
import { z } from "zod";

const share = z.number().min(0).max(1);
const fingerprint = z.string().regex(/^[0-9a-f]{8,64}$/);

/** A value of a protocol: what can decide a score and be written down. */
export type ProtocolValue = string | number | boolean | null | readonly string[] | readonly number[];

const protocolValue = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(z.string()).readonly(),
  z.array(z.number()).readonly(),
]);

/** One line of a ledger. Objects may hold further fields, which later versions add. */
export const ledgerEntrySchema = z.looseObject({
  task: z.string().min(1),
  metric: z.string().min(1),
  score: share,
  interval: z.tuple([share, share]).readonly(), // 95 %
  chance: share,
  n: z.number().int().positive(), // what the score is a mean over
  failed: z.number().int().nonnegative(), // images that could not be used, not counted in n
  model: z.looseObject({ name: z.string(), fingerprint }),
  data: z.looseObject({ name: z.string(), fingerprint, split: z.string() }),
  protocol: z.record(z.string(), protocolValue),
  seed: z.number().int().nullable(), // null where nothing is drawn
  metrics: z.record(z.string(), z.number()),
  details: z.string().optional(), // a file of details, by its path from the ledger's folder
  version: z.string(),
  seconds: z.number().nonnegative(),
  date: z.iso.datetime(),
});

/** A score with all that decided it: the unit of the evaluation ledger. */
export type LedgerEntry = Readonly<z.infer<typeof ledgerEntrySchema>>;

/** What decides a score, known before anything is computed. */
export type EntryIdentity = Pick<LedgerEntry, "task" | "metric" | "protocol" | "seed"> & {
  readonly model: Pick<LedgerEntry["model"], "fingerprint">;
  readonly data: Pick<LedgerEntry["data"], "fingerprint" | "split">;
};

/** SHA-256, in hex, of what decides a score: two entries of one key answer the same question. */
export function entryKey({ task, metric, model, data, protocol, seed }: EntryIdentity): string {
  const identity = [task, metric, model.fingerprint, data.fingerprint, data.split, sortedFields(protocol), seed];
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

/** A short hash of texts, such as templates, for a protocol. */
export function hashOfTexts(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex").slice(0, 16);
}

function sortedFields(record: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
