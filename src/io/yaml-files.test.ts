import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { parseYaml, readYamlFile } from "./yaml-files.ts";

const parse = (text: string): unknown => parseYaml("model.yaml", text);

const sample = `---
# a comment
MODEL:
  NAME: swin # of the model
  SIZES: [ 2, 2, 18, 2 ]
  EMPTY: []
  NOTHING:
  INNER:
      DEPTHS:
      - 2
      - -3
      NAMES:
        - 'it''s # one'
        - "two: \\u0032"
  SPEC: {}
RATE: 5.0e-4
BASE: ['', "b"]
FLAG: yes
names: {0: person, 1: "traffic light"}
download: |
  import os
  os.remove("x")
wrapped: [[1,
  2], 3]
`;

// What yaml.safe_load of PyYAML 6.0.4 makes of each.
const numbers = {
  "5.0e-4": 5e-4,
  "5.e+3": 5000,
  ".5": 0.5,
  "1.": 1,
  "1_0.5": 10.5,
  "010": 8,
  "0x1F": 31,
  "-0x1f": -31,
};
const others = {
  "0b101": 5,
  "1_000": 1000,
  "-3": -3,
  "+4": 4,
  "0": 0,
  ".inf": Infinity,
  "-.INF": -Infinity,
  ".NaN": NaN,
};
const constants = {
  Yes: true,
  NO: false,
  on: true,
  Off: false,
  true: true,
  "~": null,
  null: null,
  NULL: null,
  Null: null,
};
const words = ["5e-7", "1e5", "-.5", "y", "n", "tRue", "08", "12abc", "a:b", "1.2.3"];

describe("parseYaml", () => {
  it("reads what configurations are written in", () => {
    expect(parse(sample)).toEqual({
      MODEL: {
        NAME: "swin",
        SIZES: [2, 2, 18, 2],
        EMPTY: [],
        NOTHING: null,
        INNER: { DEPTHS: [2, -3], NAMES: ["it's # one", "two: 2"] },
        SPEC: {},
      },
      RATE: 5e-4,
      BASE: ["", "b"],
      FLAG: true,
      names: { 0: "person", 1: "traffic light" },
      download: 'import os\nos.remove("x")\n',
      wrapped: [[1, 2], 3],
    });
    expect(parse("\r\n# nothing\r\n")).toBeNull();
    expect(parse("\ufeffA: 1\r\nB:\r\n  C: ~\r\n")).toEqual({ A: 1, B: { C: null } });
  });

  it("reads scalars as PyYAML does", () => {
    const known = {
      ...numbers,
      ...others,
      ...constants,
      "'no'": "no",
      ...Object.fromEntries(words.map((w) => [w, w])),
    };
    for (const [text, value] of Object.entries(known))
      expect([text, parse(`k: ${text}`)]).toEqual([text, { k: value }]);
    expect(parse("yes: 1\n2: b\n3.5: c")).toEqual({ yes: 1, 2: "b", "3.5": "c" });
  });

  it.each([
    ["A: 1\nB: *anchor", 2],
    ["A: &a [1]\nB: *a", 2],
    ["A: &a {b: *a}", 1],
    ["x: 1\nA: !!python/object:os.system 1", 2],
    ["A: !!binary aGk=", 1],
    ["A: 1\nA: 2", 2],
    ["A: 1\n  B: 2", 1],
    ["A:\n    B: 1\n  C: 2", 3],
    ["A:\n\tB: 1", 2],
    ["A: 1\n---\nB: 2", 2],
    ["? [A]\n: 1", 1],
    ["A: 1\nB: 'open", 2],
  ])("refuses %j by its line", (text, line) => {
    expect(() => parse(text)).toThrow(UserError);
    expect(() => parse(text)).toThrow(`model.yaml: line ${line}: `);
  });

  it("makes no prototype of a key, and no long work of a long or deep text", () => {
    const value = parse("__proto__:\n  polluted: 1\n");
    expect(Object.keys(value as object)).toEqual(["__proto__"]);
    expect((value as { polluted?: number }).polluted).toBeUndefined();
    expect(() => parse("A: 1\n".repeat(100_000))).toThrow("at most 131072 characters");
    for (const deep of ["[", "{a: ", "- ", "? "]) {
      const started = performance.now();
      expect(() => parse(deep.repeat(Math.floor(60_000 / deep.length)))).toThrow(/model.yaml: line 1: .*nested/);
      expect(performance.now() - started).toBeLessThan(10_000);
    }
  });

  it("reads or refuses each of 500 damaged texts", () => {
    const rng = new Rng("damaged yaml");
    let refused = 0;
    for (let i = 0; i < 500; i++) {
      const characters = [...sample];
      for (let k = 0; k < 4; k++) characters[rng.int(characters.length)] = "[]{}:-# \n'\"&*!|x0"[rng.int(17)];
      try {
        parse(characters.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        expect((error as UserError).message).toMatch(/^model\.yaml: line \d+: /);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(50);
  });

  it("names a file that is not there", async () => {
    await expect(readYamlFile("absent/data.yaml")).rejects.toThrow("absent/data.yaml: must exist");
  });
});
