import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DelimitedParser, type DelimitedRow, type Delimiter } from "./delimited-text.ts";

function parse(text: string, delimiter: Delimiter = ",", pieceLength = Number.POSITIVE_INFINITY): DelimitedRow[] {
  const parser = new DelimitedParser(delimiter);
  const rows: DelimitedRow[] = [];
  for (let i = 0; i < text.length; i += pieceLength) rows.push(...parser.push(text.slice(i, i + pieceLength)));
  return [...rows, ...parser.end()];
}

const fields = (rows: DelimitedRow[]) => rows.map((row) => row.fields);

describe("DelimitedParser", () => {
  it("resolves quotes, delimiters and line ends inside fields", () => {
    const text = 'a,"b, c","d ""e"" f"\r\n"two\r\nlines",,""\n';
    const expected = [
      ["a", "b, c", 'd "e" f'],
      ["two\r\nlines", "", ""],
    ];
    for (const length of [1, 2, 3, 5, 1000]) expect(fields(parse(text, ",", length))).toEqual(expected);
  });

  it("counts lines through quoted line ends and blank lines", () => {
    const rows = parse('h\n\n"a\nb"\r\n\r\nlast');
    expect(rows.map((row) => [row.line, row.fields[0]])).toEqual([
      [1, "h"],
      [3, "a\nb"],
      [6, "last"],
    ]);
    expect(fields(parse("a,b\rc,d\r"))).toEqual([
      ["a", "b"],
      ["c", "d"],
    ]);
  });

  it("keeps a quote inside a field that is not quoted", () => {
    expect(fields(parse('5" screen,x "y" z\n'))).toEqual([['5" screen', 'x "y" z']]);
  });

  it("marks broken quotes", () => {
    expect(parse('"a"b,c\nd,e\n')).toMatchObject([
      { problem: expect.stringContaining('got "b"') },
      { line: 2, fields: ["d", "e"] },
    ]);
    expect(parse('x\n"never closed\nmore\n')[1]).toMatchObject({
      line: 2,
      problem: expect.stringContaining("must be closed"),
    });
  });

  it("reads TSV quotes literally unless they wrap the field", () => {
    const rows = parse('a "quoted" dog\t"start only\n"whole ""x"""\t"two" "parts"\n""\tlast"\n', "\t");
    expect(fields(rows)).toEqual([
      ['a "quoted" dog', '"start only'],
      ['whole "x"', '"two" "parts"'],
      ["", 'last"'],
    ]);
  });

  it("reads back whatever a CSV writer wrote, cut anywhere", () => {
    const field = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "é"), maxLength: 6 });
    const rows = fc.array(fc.array(field, { minLength: 2, maxLength: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(rows, fc.constantFrom("\n", "\r\n"), fc.integer({ min: 1, max: 9 }), (table, lineEnd, length) => {
        const quote = (value: string) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
        const text = table.map((row) => row.map(quote).join(",") + lineEnd).join("");
        expect(fields(parse(text, ",", length))).toEqual(table);
      }),
      { numRuns: 300 },
    );
  });
});
