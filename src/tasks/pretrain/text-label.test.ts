import { describe, expect, it } from "vitest";
import { normalizeText, textLabel } from "./text-label.ts";

describe("normalizeText", () => {
  it.each([
    ["  A  photo\tof a\nDog. ", "a photo of a dog"],
    ["Dog .", "dog"],
    ["Caf\u0065\u0301", "caf\u00e9"], // one spelling of an accent
    ["U.S. flag", "u.s. flag"], // stops within stay
    ["", ""],
  ])("%j: %j", (text, normalized) => {
    expect(normalizeText(text)).toBe(normalized);
    expect(normalizeText(normalized)).toBe(normalized);
  });
});

describe("textLabel", () => {
  it("is equal for spellings of one description and differs for others", () => {
    const label = textLabel("Polar bear");
    for (const same of ["polar bear", " POLAR  bear ", "polar bear."]) expect(textLabel(same)).toBe(label);
    for (const other of ["polar bears", "polarbear", "bear polar", "a polar bear"])
      expect(textLabel(other)).not.toBe(label);
  });

  it("is a signed 64-bit number that stays the same from run to run", () => {
    // Golden values: shards and checkpoints of other machines rely on them.
    expect(textLabel("dog")).toBe(-1249423597122704146n);
    expect(textLabel("grinning face with smiling eyes")).toBe(-3258112581578132928n);
  });

  it("uses both halves: no two of 200,000 short texts share a label", () => {
    const labels = new BigInt64Array(200_000);
    for (let i = 0; i < labels.length; i++) labels[i] = textLabel(`object ${i.toString(36)}`);
    expect(new Set(labels).size).toBe(labels.length);
    const halves = [0n, 32n].map(
      (shift) => new Set([...labels].map((label) => BigInt.asUintN(32, label >> shift))).size,
    );
    // A fair 32-bit hash of n texts collides about n²/2³³ times.
    for (const distinct of halves) expect(labels.length - distinct).toBeLessThan(20);
  });
});
