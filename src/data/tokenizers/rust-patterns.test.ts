import { describe, expect, it } from "vitest";
import { compilePattern } from "./rust-patterns.ts";

describe("compilePattern", () => {
  it.each([
    ["[!-/:-@\\[-`{-~]", "a, b", [", ".trim()]],
    ["\\s+", "a  b\tc", ["  ", "\t"]],
    [" {2,}", "a   b c", ["   "]],
    ["( ?\\p{L}+| ?[0-9]+|\\s+)", "one 22  x", ["one", " 22", "  ", "x"]],
    ["(a+|c)?b", "aab b cb", ["aab", "b", "cb"]],
    ["(ab)+", "ababxab", ["abab", "ab"]],
    ["[(+*]+", "a(*+b", ["(*+"]],
    ["\\(\\+\\)+", "(+))", ["(+))"]],
  ])("reads %s", (Regex, text, matches) => {
    expect(text.match(compilePattern({ Regex }))).toEqual(matches);
  });

  it("quotes a plain text", () => {
    expect("a(.)+b".match(compilePattern({ String: "(.)+" }))).toEqual(["(.)+"]);
  });

  it.each([
    "([a-z]+)+1",
    "([a-z]*)*1",
    "(a{1,9}){1,9}",
    "((a)+)+",
    "(([a-z]+))+1",
    "(a?){30}b",
    "([a-z]|[a-y])+1",
    "((a|ab)x)*1",
  ])("refuses %s, which may take exponential time", (Regex) => {
    expect(() => compilePattern({ Regex })).toThrow(/must repeat no group that itself holds a repeat.*got "/);
  });

  it("refuses repeats without end", () => {
    expect(() => compilePattern({ Regex: `${"a?".repeat(30)}${"a".repeat(30)}` })).toThrow(
      /at most 3 repeats in a row/,
    );
    expect(() => compilePattern({ Regex: "(a*a*|b)(a*a*)b" })).toThrow(/at most 3 repeats in a row/);
  });

  it.each(["a)", "(?:a)", "a++", "\\b", "[[:alpha:]]", "(a"])(
    "refuses %s, which is another dialect's or none",
    (Regex) => {
      expect(() => compilePattern({ Regex })).toThrow(/JavaScript reads alike/);
    },
  );
});
