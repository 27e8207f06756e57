import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { type EntryIdentity, entryKey, type LedgerEntry, ledgerEntrySchema } from "./ledger-entry.ts";

/** A line that is no entry: torn by a kill, or edited. */
export interface DamagedLine {
  readonly line: number; // from 1
  readonly message: string;
}

export interface LedgerContent {
  readonly entries: readonly LedgerEntry[]; // in the order of the file
  readonly damaged: readonly DamagedLine[];
}

/** Scores of many runs in one file, one JSON object a line. Lines are only ever added. */
export class Ledger {
  readonly path: string;
  /** Lines that were passed over. */
  readonly damaged: readonly DamagedLine[];
  readonly #entries = new Map<string, LedgerEntry>();

  private constructor(path: string, { entries, damaged }: LedgerContent) {
    this.path = path;
    this.damaged = damaged;
    for (const entry of entries) this.#entries.set(entryKey(entry), entry);
  }

  /** Reads a ledger, or begins one where there is none. @throws UserError if the file cannot be read */
  static async open(path: string): Promise<Ledger> {
    return new Ledger(resolve(path), await readLedger(path, { allowMissing: true }));
  }

  /** The entries, the last of each key. */
  get entries(): readonly LedgerEntry[] {
    return [...this.#entries.values()];
  }

  /** The entry that answers this question already, if there is one. */
  find(identity: EntryIdentity): LedgerEntry | undefined {
    return this.#entries.get(entryKey(identity));
  }

  /**
   * Adds an entry at the end of the file, with one write that other processes' writes cannot interleave with, and
   * flushes it to the disk. A torn line that a killed run left is ended first.
   */
  append(entry: LedgerEntry): void {
    const checked = ledgerEntrySchema.parse(entry); // what is written must read back
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      const file = openSync(this.path, "a+");
      try {
        writeSync(file, `${endsLine(file) ? "" : "\n"}${JSON.stringify(checked)}\n`);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      throw fileError(this.path, error);
    }
    this.#entries.set(entryKey(checked), checked);
  }
}

/**
 * The entries of a ledger file in order, all of them; lines that are none are listed with their numbers.
 *
 * @throws UserError not-found (unless `allowMissing`), unreadable
 */
export async function readLedger(
  path: string,
  { allowMissing = false }: { readonly allowMissing?: boolean } = {},
): Promise<LedgerContent> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (allowMissing && error.code === "ENOENT") return "";
    throw fileError(path, error);
  });
  const entries: LedgerEntry[] = [];
  const damaged: DamagedLine[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === "") continue;
    try {
      entries.push(parseEntry(line));
    } catch (error) {
      damaged.push({ line: index + 1, message: (error as Error).message });
    }
  }
  return { entries, damaged };
}

function parseEntry(line: string): LedgerEntry {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new UserError("corrupt", `must be a JSON object, got ${line.slice(0, 40)}`);
  }
  const parsed = ledgerEntrySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UserError("corrupt", parsed.error.issues.map(issueText).join("; "));
}

function issueText({ path, message }: z.core.$ZodIssue): string {
  return `${path.map(String).join(".") || "entry"}: ${message}`;
}

/** Whether a file is empty or its last byte is a line feed. */
function endsLine(file: number): boolean {
  const { size } = fstatSync(file);
  if (size === 0) return true;
  const last = Buffer.alloc(1);
  readSync(file, last, 0, 1, size - 1);
  return last[0] === 0x0a;
}
