import { describe, expect, it } from "vitest";
import { iconConcepts, plainName } from "./emoji-icons.ts";

const concept = (label: string) => ({ label, tags: [], toned: false });
const concepts = new Map(
  ["A button (blood type)", "bear", "hand right"].map((name) => [plainName(name), concept(name)]),
);

describe("iconConcepts", () => {
  it("finds concepts by an icon's name and by aliases that draw it unchanged", () => {
    const icon = { body: "" };
    const set = {
      prefix: "toy",
      icons: { "a-button-blood-type": icon, "bear-face": icon, "hand-left": icon, unknown: icon },
      aliases: {
        bear: { parent: "bear-face" },
        "hand-right": { parent: "hand-left", hFlip: true }, // the mirrored icon shows something else
      },
      width: 16,
      height: 16,
    };
    expect([...iconConcepts(set, concepts)]).toEqual([
      ["a-button-blood-type", concept("A button (blood type)")],
      ["bear-face", concept("bear")],
    ]);
  });
});
