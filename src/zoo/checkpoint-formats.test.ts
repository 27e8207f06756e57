import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareWithReference } from "../../test/support/reference-embeddings.ts";
import { UserError } from "../core/errors.ts";
import { ClipTokenizer } from "../data/tokenizers/clip-bpe.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { readCheckpoint } from "./checkpoint-formats.ts";
import { loadModel } from "./load-model.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-checkpoints-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function copyOf(layout: string, name: string): Promise<string> {
  await cp(join(fixtures, layout), join(root, name), { recursive: true });
  return join(root, name);
}

async function errorOf(folder: string): Promise<UserError> {
  const error: unknown = await loadModel(folder).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

async function editJson(path: string, edit: (value: Record<string, never>) => void): Promise<void> {
  const value = JSON.parse(await readFile(path, "utf8"));
  edit(value);
  await writeFile(path, JSON.stringify(value));
}

const layouts = [
  { layout: "clip-hugging-face", config: "config.json", weights: "model.safetensors" },
  { layout: "open-clip", config: "open_clip_config.json", weights: "open_clip_model.safetensors" },
];

describe("foreign checkpoints, end to end from file bytes and strings", () => {
  it.each(layouts)("$layout gives its library's embeddings", async ({ layout }) => {
    const model = await loadModel(join(fixtures, layout));
    try {
      const { lowestCosine, largestDifference, scaleError } = await compareWithReference(model, join(fixtures, layout));
      expect(lowestCosine).toBeGreaterThan(0.99999);
      expect(largestDifference).toBeLessThan(1e-4);
      expect(scaleError).toBeLessThan(1e-4);
    } finally {
      await model.dispose();
    }
  });

  it.each(layouts)(
    "$layout: tensors that are missing, misshapen or too many are named",
    async ({ layout, weights }) => {
      const folder = await copyOf(layout, `${layout}-tensors`);
      const { tensors } = await readSafetensors(join(folder, weights));
      const found = [...tensors].find(([key]) => /layer_norm1|ln_1/.test(key));
      const [name, { shape, data }] = found as [string, WeightTensor];
      const write = (edited: Map<string, WeightTensor>) => writeSafetensors(join(folder, weights), edited);

      const others = new Map<string, WeightTensor>([...tensors].filter(([key]) => key !== name));
      await write(others);
      expect((await errorOf(folder)).message).toContain(`must hold ${name} [${shape}], it is missing`);
      await write(new Map<string, WeightTensor>([...others, [name, { shape: [shape[0] - 1], data: data.slice(1) }]]));
      expect((await errorOf(folder)).message).toContain(`${name} must be [${shape}], got [${shape[0] - 1}]`);
      await write(new Map<string, WeightTensor>([...tensors, ["surplus", { shape: [1], data: new Float32Array(1) }]]));
      expect((await errorOf(folder)).message).toContain("surplus must not be there");
    },
  );

  it("names a field it does not support", async () => {
    const clip = await copyOf("clip-hugging-face", "clip-activation");
    await editJson(join(clip, "config.json"), (config) => Object.assign(config.vision_config, { hidden_act: "selu" }));
    const refused = await errorOf(clip);
    expect([refused.code, refused.message]).toEqual([
      "unsupported",
      expect.stringContaining("config.json: vision_config.hidden_act"),
    ]);

    const open = await copyOf("open-clip", "open-clip-field");
    await editJson(join(open, "open_clip_config.json"), ({ model_cfg: { vision_cfg } }) =>
      Object.assign(vision_cfg, { timm_model_name: "convnext" }),
    );
    expect((await errorOf(open)).message).toContain("timm_model_name");
  });

  it("reads open_clip's layout beside a config.json and weights that belong to a wrapper", async () => {
    const folder = await copyOf("open-clip", "open-clip-wrapped");
    const wrapper = { model_type: "clip", auto_map: { AutoModel: "wrapper.Wrapper" } };
    await writeFile(join(folder, "config.json"), JSON.stringify(wrapper));
    const foreign = new Map<string, WeightTensor>([["model.surplus", { shape: [1], data: new Float32Array(1) }]]);
    await writeSafetensors(join(folder, "model.safetensors"), foreign);
    const model = await loadModel(folder);
    const { largestDifference } = await compareWithReference(model, folder);
    await model.dispose();
    expect(largestDifference).toBeLessThan(1e-4);
  });

  it("reads transformers' layout where both are complete, each with weights of its own", async () => {
    const folder = await copyOf("clip-hugging-face", "both-layouts");
    for (const file of ["open_clip_config.json", "open_clip_model.safetensors"])
      await cp(join(fixtures, "open-clip", file), join(folder, file));
    const model = await loadModel(folder);
    const { largestDifference } = await compareWithReference(model, folder);
    await model.dispose();
    expect(largestDifference).toBeLessThan(1e-4);
  });

  it("brings CLIP's own merges for an open_clip model of CLIP's vocabulary, and a quick_gelu that is a text", async () => {
    const folder = await copyOf("open-clip", "open-clip-bare");
    await rm(join(folder, "merges.txt"));
    expect((await errorOf(folder)).message).toContain("must hold merges.txt or tokenizer.json"); // 714 ids are not CLIP's
    await editJson(join(folder, "open_clip_config.json"), ({ model_cfg }) => {
      Object.assign(model_cfg, { quick_gelu: "TRUE" });
      const { text_cfg } = model_cfg as Record<string, object>;
      Object.assign(text_cfg, { vocab_size: 49_408 });
    });
    const path = join(folder, "open_clip_model.safetensors");
    const { tensors } = await readSafetensors(path);
    const rows = { shape: [49_408, 16], data: new Float32Array(49_408 * 16) };
    await writeSafetensors(path, new Map<string, WeightTensor>([...tensors, ["token_embedding.weight", rows]]));
    const { architecture, tokenizer } = await readCheckpoint(folder);
    expect(architecture.image).toMatchObject({ activation: "quick-gelu" });
    expect(Array.from(tokenizer.encode("a photo of a cat"))).toEqual([49_406, 320, 1125, 539, 320, 2368, 49_407]);

    await editJson(join(folder, "open_clip_config.json"), ({ model_cfg }) =>
      Object.assign(model_cfg, { quick_gelu: "FALSE" }),
    );
    expect((await errorOf(folder)).message).toContain('quick_gelu is not right: must be true, false, "true" or "TRUE"');
    await editJson(join(folder, "open_clip_config.json"), ({ model_cfg }) =>
      Object.assign(model_cfg, { quick_gelu: true }),
    );
    await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify({ tokenizer_class: "T5Tokenizer" }));
    expect((await errorOf(folder)).message).toContain("must hold merges.txt or tokenizer.json");
  });

  it("wants the tokenizer and the preprocessing, and guesses neither", async () => {
    const clip = await copyOf("clip-hugging-face", "clip-files");
    await rm(join(clip, "merges.txt"));
    expect((await errorOf(clip)).message).toContain("must hold merges.txt or tokenizer.json");
    await rm(join(clip, "preprocessor_config.json"));
    expect((await errorOf(clip)).message).toMatch(/preprocessor_config\.json, or processor_config\.json .*got neither/);
    await writeFile(join(clip, "processor_config.json"), JSON.stringify({ processor_class: "CLIPProcessor" }));
    expect((await errorOf(clip)).message).toContain("got processor_config.json without one");
  });

  it("reads the preprocessing that transformers 5 saves inside processor_config.json", async () => {
    const folder = await copyOf("clip-hugging-face", "clip-processor");
    const own = join(folder, "preprocessor_config.json");
    const joint = { image_processor: JSON.parse(await readFile(own, "utf8")), processor_class: "CLIPProcessor" };
    await rm(own);
    await writeFile(join(folder, "processor_config.json"), JSON.stringify(joint));
    const model = await loadModel(folder);
    expect((await compareWithReference(model, folder)).largestDifference).toBeLessThan(1e-4);
    await model.dispose();
    await editJson(join(folder, "processor_config.json"), ({ image_processor }) =>
      Object.assign(image_processor, { do_resize: false }),
    );
    expect((await errorOf(folder)).message).toContain("processor_config.json: image_processor: do_resize is not right");
  });

  it("lets text_config_dict and vision_config_dict count before the towers' own, as the library does", async () => {
    const folder = await copyOf("clip-hugging-face", "clip-old-towers");
    await editJson(join(folder, "config.json"), (config) => {
      const { text_config, vision_config } = config as Record<string, object>;
      Object.assign(config, { text_config_dict: text_config, vision_config_dict: vision_config });
      Object.assign(config, { text_config: { ...text_config, hidden_size: 8 }, vision_config: { hidden_act: "selu" } });
    });
    const model = await loadModel(folder);
    expect((await compareWithReference(model, folder)).largestDifference).toBeLessThan(1e-4);
    await model.dispose();
    // Its defaults fill up what the old entry leaves out, whatever the new one says.
    await editJson(join(folder, "config.json"), ({ text_config_dict }) =>
      Object.assign(text_config_dict, { num_hidden_layers: undefined }),
    );
    expect((await errorOf(folder)).message).toContain("must hold text_model.encoder.layers.2.");
  });

  it("requires a vocabulary that numbers tokens as the merges do", async () => {
    const folder = await copyOf("clip-hugging-face", "clip-numbering");
    const mergesText = await readFile(join(folder, "merges.txt"), "utf8");
    const { tokens } = new ClipTokenizer({ mergesText, mergeCount: 200 });
    const ids = Object.fromEntries(tokens.map((token, id) => [token, id]));
    await writeFile(join(folder, "vocab.json"), JSON.stringify(ids));
    const merges = mergesText.trimEnd().split("\n").slice(1);
    const model = { type: "BPE", vocab: ids, merges };
    const json = { added_tokens: [{ id: 713, content: "<|endoftext|>" }], model };
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify(json));
    await (await loadModel(folder)).dispose();

    const swapped = { ...ids, [tokens[600]]: 601, [tokens[601]]: 600 };
    await writeFile(join(folder, "vocab.json"), JSON.stringify(swapped));
    const { code, message } = await errorOf(folder);
    expect(code).toBe("mismatch");
    expect(message).toContain(`vocab.json: ${JSON.stringify(tokens[600])} must have`);
    expect(message).toMatch(/merges, 600, got 601\./);

    await writeFile(join(folder, "vocab.json"), JSON.stringify({ ...ids, novel: 714 }));
    expect((await errorOf(folder)).message).toMatch(/"novel" must .*, none, got 714\./);
    await rm(join(folder, "vocab.json"));
    json.added_tokens[0].id = 0;
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify(json));
    expect((await errorOf(folder)).message).toMatch(/tokenizer\.json: "<\|endoftext\|>" must .*, 713, got 0\./);
  });

  it("reads the merges inside a tokenizer.json alike", async () => {
    const folder = await copyOf("clip-hugging-face", "clip-tokenizer-json");
    const merges = (await readFile(join(folder, "merges.txt"), "utf8")).trimEnd().split("\n").slice(1);
    await rm(join(folder, "merges.txt"));
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify({ model: { type: "BPE", merges } }));
    const [there, here] = await Promise.all([loadModel(join(fixtures, "clip-hugging-face")), loadModel(folder)]);
    const text = ["an unlikely combination of words"];
    expect(await here.embedTexts(text)).toEqual(await there.embedTexts(text));
    await Promise.all([there.dispose(), here.dispose()]);
  });
});
