import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type SetSink, type WrittenImage, writeNew } from "./written-image.ts";

/**
 * Writes images as files below `images/` and a table beside it: `metadata.jsonl` with lists of labels and captions, or
 * `data.csv` with labels separated by "|" and a row for each caption.
 */
export class TableSink implements SetSink {
  readonly #folder: string;
  readonly #form: "csv" | "jsonl";
  #table: FileHandle | undefined;

  constructor(folder: string, form: "csv" | "jsonl") {
    this.#folder = folder;
    this.#form = form;
  }

  async add({ name, bytes, split, labels, texts }: WrittenImage): Promise<void> {
    const file = `images/${name}`;
    await writeNew(join(this.#folder, file), bytes);
    const table = await this.#openTable();
    if (this.#form === "jsonl") {
      const captions = texts.length > 0 ? { captions: texts } : {};
      await table.write(`${JSON.stringify({ file, split, labels, ...captions })}\n`);
      return;
    }
    const rows = (texts.length > 0 ? texts : [""]).map((text) => [file, labels.join("|"), text, split]);
    await table.write(rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join(""));
  }

  async finish(): Promise<void> {
    const table = await this.#openTable();
    await table.sync();
    await table.close();
  }

  async #openTable(): Promise<FileHandle> {
    if (this.#table !== undefined) return this.#table;
    this.#table = await open(join(this.#folder, this.#form === "csv" ? "data.csv" : "metadata.jsonl"), "wx");
    if (this.#form === "csv") await this.#table.write("image,labels,caption,split\r\n");
    return this.#table;
  }
}

/** A field as RFC 4180 has it. */
function quoted(field: string): string {
  return /[",\r\n]|^\s|\s$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
