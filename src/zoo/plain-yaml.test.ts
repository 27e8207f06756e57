import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { Rng } from "../core/rng.ts";
import { parsePlainYaml } from "./plain-yaml.ts";

const parse = (text: string): unknown => parsePlainYaml("model.yaml", text);

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
        - "two: 2"
  SPEC: {}
RATE: 5.0e-4
BASE: ['', "b"]
WORD: 5e-7
FLAG: yes
`;

describe("parsePlainYaml", () => {
  it("reads what configurations are written in, as PyYAML does", () => {
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
      WORD: "5e-7", // YAML 1.1 wants a point in a number with an exponent
      FLAG: true,
    });
    expect(parse("\r\n# nothing\r\n")).toBeNull();
    expect(parse("A: 1\r\nB:\r\n  C: ~\r\n")).toEqual({ A: 1, B: { C: null } });
  });

  it.each([
    ["A: &anchor 1", 1],
    ["A: 1\nB: *anchor", 2],
    ["A: !!python/object:os.system 1", 1],
    ["A: |\n  text", 1],
    ["A: [1,\n  2]", 1],
    ["A: [[1], 2]", 1],
    ["A: 1\nA: 2", 2],
    ["A: 1\n  B: 2", 2],
    ["A:\n    B: 1\n  C: 2", 3],
    ["A:\n\tB: 1", 2],
    ["A:\n- B: 1", 2],
    ["A:\n-\n", 2],
    ["A: {B: 1}", 1],
    ["? A", 1],
    ["just words", 1],
    ["A: 'open", 1],
  ])("refuses %j by its line", (text, line) => {
    expect(() => parse(text)).toThrow(UserError);
    expect(() => parse(text)).toThrow(`model.yaml: line ${line}: `);
  });

  it("makes no prototype of a key, and no long work of a long text", () => {
    const value = parse("__proto__:\n  polluted: 1\n");
    expect(Object.keys(value as object)).toEqual(["__proto__"]);
    expect((value as { polluted?: number }).polluted).toBeUndefined();
    expect(() => parse("A: 1\n".repeat(100_000))).toThrow("at most 65536 characters");
    expect(() => parse(`${"[".repeat(60_000)}`)).toThrow("line 1");
  });

  it("reads or refuses each of 2,000 damaged texts", () => {
    const rng = new Rng("damaged yaml");
    for (let i = 0; i < 2000; i++) {
      const characters = [...sample];
      for (let k = 0; k < 4; k++) characters[rng.int(characters.length)] = "[]{}:-# \n'\"&x0"[rng.int(14)];
      try {
        parse(characters.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    }
  });
});
