import { realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import { roleOf } from "../shard-format.ts";
import { readShardManifest } from "../shard-reader.ts";
import { type ShardManifest, ShardReader, type ShardRow, ShardWriter } from "../shards.ts";
import { writeContactSheet } from "./contact-sheet.ts";
import type { CurationReport, PairOfSets, RemovedRow } from "./curation-report.ts";
import {
  type HashMatch,
  hashMatches,
  internalDuplicates,
  type MatchRule,
  type SearchedPicture,
  searchedPicture,
} from "./near-duplicates.ts";
import { pictureSignature } from "./perceptual-hash.ts";

export interface CurateOptions {
  /** Shard folders to clean; each is replaced by one without the removed rows. */
  readonly training: readonly string[];
  /** Shard folders whose pictures must not be in the training sets. */
  readonly evaluation: readonly string[];
  readonly rule: MatchRule;
  /** Where a PNG with the first removed pairs of every two sets is put, to look at; none if left out. */
  readonly sheetFolder?: string;
  /** Whether to report without removing. */
  readonly dryRun?: boolean;
  /** Called as the work goes on, with what is being done. */
  readonly onStep?: (step: string) => void;
  readonly signal?: AbortSignal;
}

/** Reasons that manifests count removed rows under start with these. */
const copyOf = "copy of a picture in ";
const ownDuplicate = "duplicate with equal texts";
const pairsPerSheet = 60;

/**
 * Drops from every training set the pictures that also are in an evaluation set, by perceptual hash and thumbnail and
 * mirrored ones too, and later copies of its own pictures under equal texts. No set is replaced before all are compared.
 *
 * @throws UserError: bad-argument if a set to clean is for evaluation, or among those it is compared with; mismatch if
 *   nothing of it would stay
 */
export async function curateShards(options: CurateOptions): Promise<CurationReport> {
  requireApart(options);
  const sets = options.evaluation.map((folder) => {
    options.onStep?.(`reading ${folder}`);
    const reader = ShardReader.open(folder);
    try {
      const { manifest, rows } = reader;
      return { folder, name: manifest.name, rows, manifest, signatures: mapImages(reader, pictureSignature) };
    } finally {
      reader.close();
    }
  });
  const pairs: PairOfSets[] = [];
  const before: Record<string, number> = {};
  const after: Record<string, number> = {};
  const cleanings: Cleaning[] = [];
  for (const folder of options.training) {
    options.signal?.throwIfAborted();
    options.onStep?.(`reading ${folder}`);
    const reader = ShardReader.open(folder);
    try {
      const name = reader.manifest.name;
      const pictures = mapImages(reader, searchedPicture);
      const removed = new Map<number, string>(); // row → reason
      for (const set of sets) {
        options.signal?.throwIfAborted();
        options.onStep?.(`comparing ${name} with ${set.name}`);
        const matches = [...hashMatches(pictures, set.signatures, options.rule)];
        const rows = confirmedRows(matches, reader.rows, set.rows);
        for (const { index } of rows) removed.set(index, removed.get(index) ?? copyOf + set.name);
        pairs.push({ training: name, against: set.name, hashMatches: matches.length, removed: rows });
        await writeSheet(options.sheetFolder, reader, set.folder, rows);
      }
      options.onStep?.(`comparing ${name} with itself`);
      const own = ownDuplicates(reader.rows, pictures);
      for (const { index } of own) removed.set(index, removed.get(index) ?? ownDuplicate);
      pairs.push({ training: name, against: name, removed: own });
      await writeSheet(options.sheetFolder, reader, folder, own);
      before[name] = reader.count;
      after[name] = reader.count - removed.size;
      if (removed.size > 0) cleanings.push({ folder, rowsSha256: reader.rowsSha256, removed });
      if (removed.size === reader.count && removed.size > 0 && !options.dryRun) {
        const rule = `${folder}: curation must leave pictures, got none of ${reader.count} that stays`;
        throw new UserError("mismatch", `${rule}. No set was changed; leave this one out, as a copy of the others.`);
      }
    } finally {
      reader.close();
    }
  }
  if (!options.dryRun) for (const cleaning of cleanings) await rewrite(cleaning);
  return {
    rule: options.rule,
    rewritten: !options.dryRun,
    evaluation: sets.map(({ name, manifest }) => ({
      name,
      count: manifest.count,
      imagesSha256: manifest.imagesSha256,
    })),
    before,
    after,
    pairs,
  };
}

/** The best confirmed match of every picture that has one. */
function confirmedRows(
  matches: readonly HashMatch[],
  rows: readonly ShardRow[],
  heldRows: readonly ShardRow[],
): RemovedRow[] {
  const best = new Map<number, HashMatch>();
  for (const match of matches) {
    if (!match.confirmed) continue;
    const held = best.get(match.candidate);
    if (held === undefined || match.difference < held.difference) best.set(match.candidate, match);
  }
  return [...best.values()].map((match) => ({
    index: match.candidate,
    key: rows[match.candidate].key,
    text: rows[match.candidate].texts[0] ?? "",
    keptIndex: match.held,
    keptKey: heldRows[match.held].key,
    keptText: heldRows[match.held].texts[0] ?? "",
    difference: Number(match.difference.toFixed(2)),
    mirrored: match.mirrored,
  }));
}

function ownDuplicates(rows: readonly ShardRow[], pictures: readonly SearchedPicture[]): RemovedRow[] {
  const texts = rows.map((row) => [...row.texts].sort().join("\n"));
  const plain = pictures.map((picture) => picture.plain);
  const dropped = internalDuplicates(plain, (a, b) => texts[a] === texts[b]);
  return [...dropped].map(([index, kept]) => ({
    index,
    key: rows[index].key,
    text: rows[index].texts[0] ?? "",
    keptIndex: kept,
    keptKey: rows[kept].key,
    keptText: rows[kept].texts[0] ?? "",
  }));
}

/** Refuses what would clean a set of its own pictures, or one that training sets are cleaned of. */
function requireApart({ training, evaluation }: CurateOptions): void {
  const held = new Set(evaluation.map(realPath));
  for (const folder of training) {
    if (roleOf(readShardManifest(folder)) === "evaluation") {
      const rule = `${folder}: must be a set for training to be cleaned, got one for evaluation`;
      throw new UserError("bad-argument", `${rule}. Name it with --against.`);
    }
    if (held.has(realPath(folder))) {
      const rule = `${folder}: must be compared with other sets, got itself among them`;
      throw new UserError("bad-argument", `${rule}. Its own copies are found anyway.`);
    }
  }
}

/** A folder without links; of one that does not exist, the path, which is reported when it is opened. */
function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return resolve(folder);
  }
}

interface Cleaning {
  readonly folder: string;
  readonly rowsSha256: string; // of the rows that were compared
  readonly removed: ReadonlyMap<number, string>; // row → reason
}

async function rewrite({ folder, rowsSha256, removed }: Cleaning): Promise<ShardManifest> {
  const reader = ShardReader.open(folder);
  const { manifest, rows } = reader;
  if (reader.rowsSha256 !== rowsSha256) {
    reader.close();
    throw new UserError("mismatch", `${folder}: must stay as it was compared, got other rows. Curate again.`);
  }
  const writer = new ShardWriter(folder, manifest);
  try {
    for (const [reason, count] of Object.entries(manifest.removed)) writer.countRemoved(reason, count);
    for (const reason of removed.values()) writer.countRemoved(reason);
    for (let index = 0; index < rows.length; index++) {
      if (!removed.has(index)) writer.append(imageAt(reader, index), rows[index]);
    }
  } catch (error) {
    writer.abort();
    throw error;
  } finally {
    reader.close();
  }
  return writer.close();
}

async function writeSheet(
  sheetFolder: string | undefined,
  training: ShardReader,
  heldFolder: string,
  rows: readonly RemovedRow[],
): Promise<void> {
  if (sheetFolder === undefined || rows.length === 0) return;
  const held = ShardReader.open(heldFolder);
  try {
    // The least alike first: they are the ones to doubt.
    const doubtful = [...rows].sort((a, b) => (b.difference ?? 0) - (a.difference ?? 0)).slice(0, pairsPerSheet);
    const pairs = doubtful.map((row) => ({ left: imageAt(training, row.index), right: imageAt(held, row.keptIndex) }));
    await writeContactSheet(join(sheetFolder, `${training.manifest.name}--${held.manifest.name}.png`), pairs);
  } finally {
    held.close();
  }
}

function mapImages<T>(reader: ShardReader, map: (image: RgbImage) => T): T[] {
  return Array.from({ length: reader.count }, (_, index) => map(imageAt(reader, index)));
}

function imageAt(reader: ShardReader, index: number): RgbImage {
  const { height, width } = reader;
  const data = new Uint8Array(height * width * 3);
  reader.readImage(index, data);
  return { height, width, data };
}
