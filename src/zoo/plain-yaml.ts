import { UserError } from "../core/errors.ts";

const LONGEST = 65_536; // characters; a configuration has a few thousand

interface Line {
  readonly number: number; // from 1
  readonly indent: number; // spaces
  readonly text: string; // without indentation and comment
}

/**
 * Reads the YAML that configurations are written in: mappings by indentation, lists of scalars in either style, quoted and
 * plain scalars by YAML 1.1's rules. What could mean something else is refused, by its line: anchors, tags, block texts,
 * lists of mappings, values over several lines, keys given twice.
 *
 * @param path  the file, for errors
 * @throws UserError `too-large`, `unsupported` naming the line
 */
export function parsePlainYaml(path: string, text: string): unknown {
  if (text.length > LONGEST) {
    throw new UserError("too-large", `${path}: must have at most ${LONGEST} characters, got ${text.length}.`);
  }
  return new PlainYaml(path, linesOf(path, text)).document();
}

function linesOf(path: string, text: string): Line[] {
  const lines: Line[] = [];
  for (const [i, raw] of text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .entries()) {
    const number = i + 1;
    const content = withoutComment(raw).trimEnd();
    const indent = content.length - content.trimStart().length;
    if (content === "" || (content === "---" && lines.length === 0)) continue;
    if (content.slice(0, indent).includes("\t")) throw refusal(path, number, "indentation must be spaces", "a tab");
    lines.push({ number, indent, text: content.slice(indent) });
  }
  return lines;
}

/** A `#` at the start or after a space begins a comment, unless it stands within quotes. */
function withoutComment(line: string): string {
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const character = line[i];
    if (quote) {
      if (character === "'" && line[i + 1] === "'" && quote === "'") i++;
      else if (character === quote) quote = "";
    } else if (/["']/.test(character) && /(^|[\s[,:])$/.test(line.slice(Math.max(0, i - 1), i))) quote = character;
    else if (character === "#" && /^\s?$/.test(line.slice(Math.max(0, i - 1), i))) return line.slice(0, i);
  }
  return line;
}

function refusal(path: string, line: number, rule: string, got: string): UserError {
  const shown = JSON.stringify(got.length > 60 ? `${got.slice(0, 60)}…` : got);
  return new UserError("unsupported", `${path}: line ${line}: ${rule}, got ${shown}. Write it as plain YAML.`);
}

const entry = /^("[^"\\]*"|'[^']*'|[^\s"'\-[\]{}&*!|>%@`#,?:][^\s:]*)\s*:(?:\s+(\S.*))?$/;

class PlainYaml {
  readonly #path: string;
  readonly #lines: readonly Line[];
  #at = 0;

  constructor(path: string, lines: readonly Line[]) {
    this.#path = path;
    this.#lines = lines;
  }

  document(): unknown {
    const first = this.#lines[0];
    if (!first) return null;
    const value = this.#block(first.indent);
    const rest = this.#lines[this.#at];
    if (rest) throw refusal(this.#path, rest.number, "must be indented as a line before it", rest.text);
    return value;
  }

  /** The mapping or list whose lines have this indentation. */
  #block(indent: number): unknown {
    return /^-(\s|$)/.test(this.#lines[this.#at].text) ? this.#list(indent) : this.#mapping(indent);
  }

  #mapping(indent: number): unknown {
    const entries = new Map<string, unknown>();
    for (let line = this.#lines[this.#at]; line && line.indent === indent; line = this.#lines[this.#at]) {
      const [, quoted, inline] = entry.exec(line.text) ?? [];
      if (quoted === undefined) throw refusal(this.#path, line.number, "must be a key with a colon", line.text);
      const key = quoted.replace(/^(["'])(.*)\1$/, "$2");
      if (entries.has(key)) throw refusal(this.#path, line.number, "a key must not be given twice", key);
      this.#at++;
      entries.set(key, inline === undefined ? this.#nested(indent) : this.#value(line, inline));
    }
    return Object.fromEntries(entries);
  }

  /** What a key without a value on its line has: the deeper lines after it, a list as deep as itself, or nothing. */
  #nested(indent: number): unknown {
    const next = this.#lines[this.#at];
    const isBelow = next && (next.indent > indent || (next.indent === indent && /^-(\s|$)/.test(next.text)));
    return isBelow ? this.#block(next.indent) : null;
  }

  #list(indent: number): unknown[] {
    const items: unknown[] = [];
    for (let line = this.#lines[this.#at]; line && line.indent === indent; line = this.#lines[this.#at]) {
      const item = /^-\s+(\S.*)$/.exec(line.text)?.[1];
      if (item === undefined || entry.test(item)) {
        if (!line.text.startsWith("-")) break; // the next key of a mapping that its list stands as deep as
        throw refusal(this.#path, line.number, "a list must hold single values", line.text);
      }
      items.push(this.#value(line, item));
      this.#at++;
    }
    return items;
  }

  #value({ number }: Line, text: string): unknown {
    if (text === "{}") return {};
    const inside = /^\[([^[\]{}]*)\]$/.exec(text)?.[1];
    if (inside === undefined) return this.#scalar(number, text);
    if (inside.trim() === "") return [];
    return inside
      .replace(/,\s*$/, "")
      .split(",")
      .map((item) => this.#scalar(number, item.trim()));
  }

  #scalar(line: number, text: string): unknown {
    if (/^'([^']|'')*'$/.test(text)) return text.slice(1, -1).replaceAll("''", "'");
    if (/^"[^"\\]*"$/.test(text)) return text.slice(1, -1);
    if (text === "" || /^(["'[\]{}&*!|>%@`?,]|-(?![\d.]))/.test(text)) {
      throw refusal(this.#path, line, "must be a number, a word or a quoted text on one line", text);
    }
    if (/^(~|null|Null|NULL)$/.test(text)) return null;
    if (/^(true|True|TRUE|yes|Yes|YES|on|On|ON)$/.test(text)) return true;
    if (/^(false|False|FALSE|no|No|NO|off|Off|OFF)$/.test(text)) return false;
    const isNumber = /^[-+]?(0|[1-9]\d*)$/.test(text) || /^[-+]?(\d+\.\d*|\.\d+)([eE][-+]\d+)?$/.test(text);
    return isNumber ? Number(text) : text;
  }
}
