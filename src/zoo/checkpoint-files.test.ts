import { describe, expect, it } from "vitest";
import { checkpointFiles } from "./checkpoint-files.ts";

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

  it.each([
    ["transformers' safetensors first", ["open_clip_model.safetensors", "model.safetensors"], "model.safetensors"],
    [
      "any safetensors before PyTorch",
      ["pytorch_model.bin", "open_clip_model.safetensors"],
      "open_clip_model.safetensors",
    ],
    ["PyTorch where there is nothing else", ["pytorch_model.bin", "x.pt"], "pytorch_model.bin"],
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
