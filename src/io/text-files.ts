import { createReadStream } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { UserError } from "../core/errors.ts";
import { fileError } from "./file-errors.ts";

/** The text of a small UTF-8 file. @throws UserError naming the file: not-found, unreadable, unsupported (a folder) */
export async function readUtf8(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    throw fileError(path, error);
  });
}

/**
 * The text of a UTF-8 file, piece by piece, without its byte order mark. Bytes that are no UTF-8 come out as U+FFFD.
 *
 * @throws UserError naming the file: not-found, unreadable, empty, or unsupported (UTF-16, a folder)
 */
export async function* readTextChunks(path: string): AsyncGenerator<string> {
  await checkTextFile(path);
  const decoder = new TextDecoder("utf-8"); // drops a byte order mark by itself
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      yield decoder.decode(bytes, { stream: true });
    }
  } catch (error) {
    throw fileError(path, error);
  }
  const rest = decoder.decode();
  if (rest) yield rest;
}

/** A line of a text file, without its ending. */
export interface TextLine {
  readonly number: number; // from 1
  readonly text: string;
}

/**
 * The lines of a UTF-8 file, ended by LF or CRLF only: U+2028, which JSON strings may hold, ends none. Throws as
 * {@link readTextChunks}.
 */
export async function* readLines(path: string): AsyncGenerator<TextLine> {
  let pieces: string[] = []; // of an unfinished line
  let number = 0;
  const finish = (end: string): TextLine => {
    pieces.push(end);
    const text = pieces.join("");
    pieces = [];
    number++;
    return { number, text: text.endsWith("\r") ? text.slice(0, -1) : text };
  };
  for await (const chunk of readTextChunks(path)) {
    let start = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      yield finish(chunk.slice(start, end));
      start = end + 1;
    }
    if (start < chunk.length) pieces.push(chunk.slice(start));
  }
  if (pieces.length > 0) yield finish("");
}

async function checkTextFile(path: string): Promise<void> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw new UserError("unsupported", `${path}: must be a text file, got a folder or a device.`);
    if (stats.size === 0) throw new UserError("empty", `${path}: must have rows, got 0 bytes. Replace the file.`);
    const file = await open(path, "r");
    const start = Buffer.alloc(2);
    await file.read(start, 0, 2, 0).finally(() => file.close());
    const mark = start.readUInt16BE(0);
    if (mark === 0xfffe || mark === 0xfeff) {
      throw new UserError("unsupported", `${path}: must be UTF-8, got UTF-16. Save it as UTF-8.`);
    }
  } catch (error) {
    throw fileError(path, error);
  }
}
