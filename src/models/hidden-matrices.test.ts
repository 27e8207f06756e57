import { describe, expect, it } from "vitest";
import { namedParameters } from "../nn/module.ts";
import { isHiddenInEncoder } from "./hidden-matrices.ts";
import { CoSwin } from "./image-encoder/coswin.ts";
import { coSwinPresets } from "./image-encoder/coswin-presets.ts";

describe("isHiddenInEncoder", () => {
  it("picks every linear layer and kernel within stages, and neither stem nor tables", () => {
    const parameters = [...namedParameters(new CoSwin(coSwinPresets.T))];
    const kindOf = (name: string) => name.replace(/^.*(blocks\.\d+|downsample)\./, "");
    const all = parameters.filter(([, { shape }]) => shape.length >= 2);
    const hidden = all.filter(([name, { shape }]) => isHiddenInEncoder(`imageEncoder.${name}`, shape));
    expect([...new Set(hidden.map(([name]) => kindOf(name)))].sort()).toEqual(
      ["attn.proj.weight", "attn.qkv.weight", "mlp.fc1.weight", "mlp.fc2.weight", "proj.weight"].sort(),
    );
    const others = all.filter((entry) => !hidden.includes(entry)).map(([name]) => kindOf(name));
    expect([...new Set(others)].sort()).toEqual(["attn.positionBias", "patchEmbed.proj.weight"]);
  });

  it("is of matrices alone, whatever they are called", () => {
    expect(isHiddenInEncoder("imageEncoder.blocks.0.mlp.fc1.weight", [8])).toBe(false);
    expect(isHiddenInEncoder("imageEncoder.norm.weight", [8, 8])).toBe(false);
  });
});
