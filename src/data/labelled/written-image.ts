import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { SplitName } from "./labelled-set.ts";

/** One image to be written: its bytes are those of the source, grey pixels as PNG. */
export interface WrittenImage {
  readonly name: string; // its key as a relative path that any system can have, with an ending
  readonly ending: string; // without the dot
  readonly bytes: Uint8Array;
  readonly split: SplitName;
  readonly labels: readonly string[];
  readonly texts: readonly string[];
}

/** Takes images one after the other; `finish` writes what is held back. */
export interface SetSink {
  add(image: WrittenImage): Promise<void>;
  finish(): Promise<void>;
}

/** Writes a file that must not be there yet. */
export async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes, { flag: "wx" });
}
