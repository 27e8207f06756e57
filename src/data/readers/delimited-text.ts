/** A row of a delimited text, its quotes resolved. */
export interface DelimitedRow {
  readonly line: number; // where it starts, from 1
  readonly fields: readonly string[];
  readonly problem?: string; // why the row is not to be trusted
}

/** "," with quotes as RFC 4180 has them, or a tab, where quotes are ordinary characters inside a field. */
export type Delimiter = "," | "\t";

/**
 * Splits CSV or TSV text, given in pieces, into rows. CSV: quoted fields may hold delimiters, line ends and doubled
 * quotes. TSV: a field that is quoted as a whole is unwrapped, any other quote stands for itself, and a line is a row.
 * Lines end by LF, CRLF or CR; blank lines are left out.
 */
export class DelimitedParser {
  readonly #delimiter: Delimiter;
  #fields: string[] = [];
  #field = "";
  #line = 1;
  #rowLine = 1;
  #state: "plain" | "quoted" | "quote-in-quoted" = "plain";
  #wasQuoted = false; // the current field began with a quote
  #afterReturn = false; // the last character was CR: an LF after it ends no second line
  #problem: string | undefined;

  constructor(delimiter: Delimiter) {
    this.#delimiter = delimiter;
  }

  /** Rows completed by the next piece of text. */
  *push(text: string): Generator<DelimitedRow> {
    let start = 0; // of the run of ordinary characters not yet copied
    for (let i = 0; i < text.length; i++) {
      const character = text[i];
      const lineFeedOfCrlf = this.#afterReturn && character === "\n";
      this.#afterReturn = character === "\r";
      if ((character === "\n" && !lineFeedOfCrlf) || character === "\r") this.#line++;
      if (this.#state === "quoted") {
        if (character !== '"') continue;
        this.#field += text.slice(start, i);
        this.#state = "quote-in-quoted";
        start = i + 1;
      } else if (this.#state === "quote-in-quoted" && character === '"') {
        this.#state = "quoted"; // a doubled quote: the second one opens the run that is copied next
        start = i;
      } else if (lineFeedOfCrlf) {
        start = i + 1;
      } else if (character === this.#delimiter) {
        this.#endField(text.slice(start, i));
        start = i + 1;
      } else if (character === "\n" || character === "\r") {
        this.#endField(text.slice(start, i));
        start = i + 1;
        yield* this.#endRow();
      } else if (this.#state === "quote-in-quoted") {
        this.#problem ??= `a closing quote must end its field, got "${character}" after it`;
        this.#state = "plain";
        start = i;
      } else if (
        character === '"' &&
        this.#delimiter === "," &&
        i === start &&
        this.#field === "" &&
        !this.#wasQuoted
      ) {
        this.#state = "quoted";
        this.#wasQuoted = true;
        start = i + 1;
      }
    }
    this.#field += text.slice(start);
  }

  /** The last row, if the text does not end with a line end. */
  *end(): Generator<DelimitedRow> {
    if (this.#state === "quoted") this.#problem = "a quoted field must be closed, got the end of the text";
    if (this.#field === "" && this.#fields.length === 0 && !this.#wasQuoted) return;
    this.#endField("");
    yield* this.#endRow();
  }

  #endField(rest: string): void {
    const field = this.#field + rest;
    this.#fields.push(this.#delimiter === "\t" ? unwrap(field) : field);
    this.#field = "";
    this.#state = "plain";
    this.#wasQuoted = false;
  }

  *#endRow(): Generator<DelimitedRow> {
    const fields = this.#fields;
    const row = { line: this.#rowLine, fields, ...(this.#problem !== undefined && { problem: this.#problem }) };
    this.#fields = [];
    this.#problem = undefined;
    this.#rowLine = this.#line;
    if (fields.length > 1 || fields[0] !== "") yield row;
  }
}

/** A TSV field that is one quoted whole, unquoted; any other as it is. */
function unwrap(field: string): string {
  if (field.length < 2 || !field.startsWith('"') || !field.endsWith('"')) return field;
  const inner = field.slice(1, -1);
  return inner.replaceAll('""', "").includes('"') ? field : inner.replaceAll('""', '"');
}
