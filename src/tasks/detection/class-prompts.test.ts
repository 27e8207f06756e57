import { describe, expect, it } from "vitest";
import { labelPlaces } from "./class-prompts.ts";

describe("labelPlaces", () => {
  it("knows the labels given, and refuses another instead of taking it for the first", () => {
    const placeOf = labelPlaces(["cat", "dog "]);
    expect([placeOf("cat"), placeOf("dog ")]).toEqual([0, 1]);
    expect(() => placeOf("dog")).toThrow('must be among the 2 given, got "dog"');
  });
});
