import { type Document, LineCounter, parseDocument, type ScalarTag, visit } from "yaml";
import { UserError } from "../core/errors.ts";
import { readUtf8 } from "./text-files.ts";

const LONGEST = 131_072; // characters; a dataset of a thousand classes has some twenty thousand

// PyYAML's rules, which are not quite YAML 1.1's: y and n are words, and a number with an exponent needs a point and the
// exponent's sign. Whoever wrote the file had PyYAML read it.
const scalars: readonly ScalarTag[] = [
  {
    tag: "tag:yaml.org,2002:null",
    default: true,
    test: /^(?:~|null|Null|NULL)?$/,
    resolve: () => null,
  },
  {
    tag: "tag:yaml.org,2002:bool",
    default: true,
    test: /^(?:true|True|TRUE|yes|Yes|YES|on|On|ON|false|False|FALSE|no|No|NO|off|Off|OFF)$/,
    resolve: (text) => /^(?:t|y|on$)/i.test(text),
  },
  { tag: "tag:yaml.org,2002:int", default: true, test: /^[-+]?(?:0|[1-9][\d_]*)$/, resolve: decimal },
  {
    tag: "tag:yaml.org,2002:int",
    default: true,
    test: /^[-+]?0(?:[0-7_]+|b[01_]+|x[\da-fA-F_]+)$/,
    resolve: inAnotherBase,
  },
  {
    tag: "tag:yaml.org,2002:float",
    default: true,
    test: /^(?:[-+]?\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:[eE][-+]\d+)?$/,
    resolve: decimal,
  },
  {
    tag: "tag:yaml.org,2002:float",
    default: true,
    test: /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
    resolve: (text) => (/nan/i.test(text) ? Number.NaN : text.startsWith("-") ? -Infinity : Infinity),
  },
];

function decimal(text: string): number {
  return Number(text.replaceAll("_", ""));
}

/** Octal with a leading zero, binary, hexadecimal. */
function inAnotherBase(text: string): number {
  const digits = text.replaceAll("_", "").replace(/^[-+]/, "");
  const value = Number(/^0[bx]/.test(digits) ? digits : `0o${digits.slice(1)}`);
  return text.startsWith("-") ? -value : value;
}

/** The value of a YAML file. Throws as {@link parseYaml}, and as {@link readUtf8}. */
export async function readYamlFile(path: string): Promise<unknown> {
  return parseYaml(path, await readUtf8(path));
}

/**
 * Reads one YAML document as PyYAML's safe loader does, but for keys, dates and sexagesimal numbers, which stay texts.
 * Refused, by the line: what can be no
 * configuration but an attack (aliases, tags of other types), and what is most often a mistake (a key given twice,
 * several documents).
 *
 * @param path  the file, for errors
 * @returns     mappings as objects, sequences as arrays, null for an empty document
 * @throws      UserError `too-large`, or `corrupt` naming the file and the line
 */
export function parseYaml(path: string, text: string): unknown {
  if (text.length > LONGEST) {
    throw new UserError("too-large", `${path}: must have at most ${LONGEST} characters, got ${text.length}.`);
  }
  const lineCounter = new LineCounter();
  try {
    const document = parseDocument(text, {
      schema: "failsafe",
      customTags: (tags) => [...tags, ...scalars],
      stringKeys: true,
      prettyErrors: false,
      lineCounter,
      resolveKnownTags: false,
      logLevel: "error",
    });
    const problem = document.errors[0] ?? document.warnings[0]; // a tag nobody knows is but a warning to the library
    if (problem) {
      throw refusal(path, lineCounter.linePos(problem.pos[0]).line, wordsOf(problem));
    }
    const alias = firstAlias(document);
    if (alias !== undefined) throw refusal(path, lineCounter.linePos(alias).line, "an alias");
    return document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw refusal(path, 1, wordsOf(error as Error));
  }
}

function wordsOf(problem: Error): string {
  if (/call stack/.test(problem.message)) return "values nested without end";
  return "code" in problem && problem.code === "MULTIPLE_DOCS" ? "a second document" : problem.message;
}

/** Where in the text a value stands that refers to another: a few of them can make a file of a kilobyte fill a memory. */
function firstAlias(document: Document): number | undefined {
  let at: number | undefined;
  visit(document, {
    Alias(_key, alias) {
      at = alias.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return at;
}

function refusal(path: string, line: number, got: string): UserError {
  const shown = got.replaceAll(/\s+/g, " ").slice(0, 200);
  return new UserError("corrupt", `${path}: line ${line}: must be plain YAML, got: ${shown}. Correct the line.`);
}
