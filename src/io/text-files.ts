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

/** The encodings that a text file is read in. Windows-1252 covers Latin-1 too, and gives a text for any bytes. */
export type TextEncoding = "utf-8" | "windows-1252";

/**
 * The text of a UTF-8 file, piece by piece, without its byte order mark. Bytes that are no UTF-8 come out as U+FFFD.
 *
 * @param encoding  another encoding to read it in
 * @throws UserError naming the file: not-found, unreadable, empty, or unsupported (UTF-16, a folder)
 */
export async function* readTextChunks(path: string, encoding: TextEncoding = "utf-8"): AsyncGenerator<string> {
  await checkTextFile(path);
  const decoder = new TextDecoder(encoding); // drops a byte order mark by itself
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

/**
 * The encoding of a text file by its bytes: UTF-8 if all of it is well-formed, else Windows-1252, as spreadsheets and
 * older systems write. Throws as {@link readTextChunks}.
 */
export async function textEncodingOf(path: string): Promise<TextEncoding> {
  await checkTextFile(path);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      decoder.decode(bytes, { stream: true });
    }
    decoder.decode();
    return "utf-8";
  } catch (error) {
    if (error instanceof TypeError) return "windows-1252";
    throw fileError(path, error);
  }
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
export async function* readLines(path: string, encoding: TextEncoding = "utf-8"): AsyncGenerator<TextLine> {
  let pieces: string[] = []; // of an unfinished line
  let number = 0;
  const finish = (end: string): TextLine => {
    pieces.push(end);
    const text = pieces.join("");
    pieces = [];
    number++;
    return { number, text: text.endsWith("\r") ? text.slice(0, -1) : text };
  };
  for await (const chunk of readTextChunks(path, encoding)) {
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
