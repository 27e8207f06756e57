import { describe, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { checkpointFiles } from "./checkpoint-choice.ts";

const indexOf = (...shards: string[]) =>
  JSON.stringify({ metadata: {}, weight_map: Object.fromEntries(shards.map((shard, i) => [`tensor${i}`, shard])) });

/** What is chosen of the names, weights last, the given text being that of every file that is read. */
async function choose(names: readonly string[], text = ""): Promise<string[]> {
  const { sides, weights } = await checkpointFiles("owner/model", new Set(names), async () => text);
  return [...sides, ...weights];
}

describe("checkpointFiles", () => {
  it("takes what importers read, weights last, and nothing else", async () => {
    const wanted = [
      "README.md",
      "config.json",
      "merges.txt",
      "preprocessor_config.json",
      "special_tokens_map.json",
      "tokenizer.json",
      "tokenizer_config.json",
      "vocab.json",
      "model.safetensors",
    ];
    const others = ["flax_model.msgpack", "tf_model.h5", "pytorch_model.bin", "trainer_state.json", ".gitattributes"];
    expect(await choose([...others, ...wanted.toReversed()])).toEqual(wanted);
  });

  const towers = { text_config: {}, vision_config: {} };
  const own = ["config.json", "pytorch_model.bin"];
  const both = [...own, "open_clip_config.json", "open_clip_model.safetensors"];
  it.each([
    ["transformers' own where its layout is complete", both, { model_type: "clip", ...towers }, "pytorch_model.bin"],
    [
      "transformers' own though open_clip's stand beside without a configuration",
      [...own, "open_clip_model.safetensors"],
      { model_type: "clip" },
      "pytorch_model.bin",
    ],
    [
      "open_clip's where config.json names a wrapper's code alone",
      ["config.json", "open_clip_config.json", "model.safetensors", "open_clip_model.safetensors"],
      { model_type: "clip", auto_map: { AutoModel: "wrapper.Wrapper" } },
      "open_clip_model.safetensors",
    ],
    [
      "open_clip's where transformers' weights are not there",
      ["config.json", "open_clip_config.json", "open_clip_pytorch_model.bin"],
      { model_type: "clip", ...towers },
      "open_clip_pytorch_model.bin",
    ],
    [
      "open_clip's own before general names",
      ["open_clip_config.json", "model.safetensors", "open_clip_pytorch_model.bin"],
      {},
      "open_clip_pytorch_model.bin",
    ],
    [
      "SigLIP's",
      ["config.json", "open_clip_model.safetensors", "pytorch_model.bin"],
      { model_type: "siglip" },
      "pytorch_model.bin",
    ],
  ])("brings %s", async (_, names, config, expected) => {
    const text = JSON.stringify({ model_cfg: {}, ...config }); // of both configurations
    expect((await choose(names, text)).at(-1)).toBe(expected);
  });

  it("does not take a failed download for another layout", async () => {
    const read = () => Promise.reject(new UserError("network", "the hub must answer"));
    await expect(checkpointFiles("owner/model", new Set(own), read)).rejects.toMatchObject({ code: "network" });
  });

  it.each([
    ["transformers' safetensors first", ["open_clip_model.safetensors", "model.safetensors"], "model.safetensors"],
    [
      "any safetensors before PyTorch",
      ["pytorch_model.bin", "open_clip_model.safetensors"],
      "open_clip_model.safetensors",
    ],
    ["PyTorch where there is nothing else", ["pytorch_model.bin", "x.pth"], "pytorch_model.bin"],
    ["a .pt as OpenAI published it, where there is no configuration", ["pytorch_model.bin", "x.pt"], "x.pt"],
    ["open_clip's PyTorch", ["open_clip_pytorch_model.bin"], "open_clip_pytorch_model.bin"],
    ["a single .pth", ["swin_tiny.pth"], "swin_tiny.pth"],
  ])("prefers %s", async (_, names, expected) => {
    expect(await choose(names)).toEqual([expected]);
  });

  it("takes the shards that the index names", async () => {
    const [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const index = "model.safetensors.index.json";
    const text = indexOf(second, first, second);
    expect(await choose([second, index, first, "model-00001-of-00001.safetensors", "pytorch_model.bin"], text)).toEqual(
      [index, first, second],
    );
    await expect(choose([index, first], text)).rejects.toThrow(`its shards must be there, got no "${second}"`);
    await expect(choose([index], indexOf("../../etc/passwd"))).rejects.toMatchObject({ code: "not-found" });
    await expect(choose([index], "[")).rejects.toMatchObject({ code: "corrupt" });
  });

  it("refuses a repository without weights, or with a choice of them", async () => {
    await expect(choose(["config.json"])).rejects.toThrow(/owner\/model: weights must be .*got none of them/);
    await expect(choose(["a.pt", "b.pth"])).rejects.toThrow(/got several: a\.pt, b\.pth/);
  });
});
