import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareWithReference } from "../../test/support/reference-embeddings.ts";
import { UserError } from "../core/errors.ts";
import { type WeightTensor, writeSafetensors } from "../io/safetensors.ts";
import { readTorchFile } from "../io/torch-file.ts";
import { exportCheckpoint } from "./export-model.ts";
import { loadModel } from "./load-model.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures/checkpoints", import.meta.url));

let root = "";
let copies = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-unicl-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function copyOf(name: string): Promise<string> {
  const folder = join(root, `${name}-${copies++}`);
  await cp(join(fixtures, name), folder, { recursive: true });
  return folder;
}

async function errorOf(folder: string): Promise<UserError> {
  const error: unknown = await loadModel(folder).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

/** The error for a copy whose tensors were edited, in safetensors, which are read before PyTorch files. */
async function errorWithTensors(edit: (tensors: Map<string, WeightTensor>) => void): Promise<string> {
  const folder = await copyOf("unicl");
  const tensors = new Map<string, WeightTensor>(await readTorchFile(join(folder, "unicl.pth")));
  edit(tensors);
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { dtype: "F32" });
  return (await errorOf(folder)).message;
}

async function errorWithConfig(from: string, to: string): Promise<UserError> {
  const folder = await copyOf("unicl");
  const yaml = await readFile(join(folder, "unicl.yaml"), "utf8");
  expect(yaml).toContain(from);
  await writeFile(join(folder, "unicl.yaml"), yaml.replace(from, to));
  return errorOf(folder);
}

describe("UniCL checkpoints", () => {
  it.each([
    ["unicl", "the centre cut out, beside an optimizer and settings"],
    ["unicl-older-names", "squashed, under older names"],
  ])("%s gives UniCL's embeddings from file bytes and strings: %s", async (name) => {
    const model = await loadModel(join(fixtures, name));
    try {
      const { rows, lowestCosine, largestDifference, scaleError } = await compareWithReference(
        model,
        join(fixtures, name),
      );
      expect(rows).toHaveLength(11);
      expect(lowestCosine).toBeGreaterThan(0.99999);
      expect(largestDifference).toBeLessThan(1e-5);
      expect(scaleError).toBeLessThan(1e-6);
    } finally {
      await model.dispose();
    }
  });

  it("exported as a checkpoint of ours, gives the same", async () => {
    const source = join(fixtures, "unicl");
    const model = await loadModel(source);
    const target = join(root, "exported");
    await exportCheckpoint({ source, target, model }, "F32");
    const exported = await loadModel(target);
    const { largestDifference } = await compareWithReference(exported, source);
    expect(largestDifference).toBeLessThan(1e-5);
    expect(exported.fingerprint).toBe(model.fingerprint);
    await Promise.all([model.dispose(), exported.dispose()]);
  });

  it("names a tensor that is missing, too many or misshapen", async () => {
    const norm = "image_encoder.layers.1.downsample.norm.weight";
    expect(await errorWithTensors((tensors) => tensors.delete(norm))).toContain(
      `model.safetensors: must hold ${norm} [64], it is missing`,
    );
    const head = { shape: [2], data: new Float32Array(2) };
    expect(await errorWithTensors((tensors) => tensors.set("image_encoder.head.bias", head))).toContain(
      "image_encoder.head.bias must not be there",
    );
    const table = "image_encoder.layers.0.blocks.1.attn.relative_position_bias_table";
    const small = { shape: [49, 2], data: new Float32Array(98) };
    expect(await errorWithTensors((tensors) => tensors.set(table, small))).toContain(
      `${table} must be [81, 2], got [49, 2]`,
    );
    const qkv = "text_encoder.resblocks.1.attn.in_proj_weight";
    expect(await errorWithTensors((tensors) => tensors.delete(qkv))).toContain(`must hold ${qkv} [48, 16]`);
  });

  it("compares the buffers of windows with its own, and does without them", async () => {
    const mask = "image_encoder.layers.0.blocks.1.attn_mask";
    const change = (tensors: Map<string, WeightTensor>): void => {
      const { shape, data } = tensors.get(mask) as WeightTensor;
      tensors.set(mask, { shape, data: data.map((value, i) => (i === 7 ? -5 : value)) });
    };
    expect(await errorWithTensors(change)).toContain(`${mask} must have 0 at 7, got -5`);
    const withoutBuffers = (tensors: Map<string, WeightTensor>): void => {
      for (const name of tensors.keys()) if (/attn_mask$|_index$/.test(name)) tensors.delete(name);
      tensors.delete("logit_scale");
    };
    expect(await errorWithTensors(withoutBuffers)).toContain("must hold logit_scale [], it is missing");
  });

  it.each([
    ["TYPE: swin", "TYPE: focalnet", 'IMAGE_ENCODER.TYPE must be "swin", the one image tower'],
    ["TYPE: swin", "TYPE: davit", 'got "davit"'],
    ["NAME: 'transformer'", "NAME: hf_model", 'TEXT_ENCODER.NAME must be "transformer", the one text tower'],
    ["    WIDTH: 16", "    WIDTH: 16\n    TOKENIZER: bert-base-uncased", "TEXT_ENCODER.TOKENIZER must be"],
    ["WINDOW_SIZE: 5", "WINDOW_SIZE: 5\n      APE: true", "MODEL.IMAGE_ENCODER.SWIN.APE is not right"],
    ["WINDOW_SIZE: 5", "WINDOW: 5", "MODEL.IMAGE_ENCODER.SWIN is not right"],
    ["WINDOW_SIZE: 5", "WINDOW_SIZE: 4", "stage 1 must be whole windows of 4 tokens on a side, got 10"],
    ["[ 2, 4, 8 ]", "[ 2, 4, 4 ]", "SWIN.NUM_HEADS must be as many as DEPTHS, each head as wide (2,4,8), got 2,4,4"],
    ["HEADS: 2\n", "HEADS: 3\n", "TEXT_ENCODER.HEADS must divide the width of 16, got 3"],
    ["  IMG_SIZE: 80\n  INT", "  IMG_SIZE: 160\n  INT", "IMG_SIZE must be DATA.IMG_SIZE 160, got 80"],
    ["'bicubic'", "lanczos", "DATA.INTERPOLATION is not right"],
    ["BASE: ['']", "BASE: [other.yaml]", "BASE.0 is not right"],
  ])("%j changed to %j is refused: %s", async (from, to, words) => {
    const { code, message } = await errorWithConfig(from, to);
    expect([code, message]).toEqual(["unsupported", expect.stringContaining(words)]);
    expect(message).toContain("unicl.yaml: ");
  });

  it("names the line of a YAML file that is damaged", async () => {
    const { code, message } = await errorWithConfig("TEST:", "TEST: !test");
    expect([code, message]).toEqual(["corrupt", expect.stringContaining("unicl.yaml: line 6: ")]);
  });

  it("sees by the masks that pictures of another size were meant", async () => {
    const folder = await copyOf("unicl");
    const yaml = await readFile(join(folder, "unicl.yaml"), "utf8");
    await writeFile(join(folder, "unicl.yaml"), yaml.replaceAll("IMG_SIZE: 80", "IMG_SIZE: 160"));
    expect((await errorOf(folder)).message).toContain("blocks.1.attn_mask must be [64, 25, 25], got [16, 25, 25]");
  });

  it("wants one configuration and the tokenizer", async () => {
    const folder = await copyOf("unicl");
    await rm(join(folder, "merges.txt"));
    expect((await errorOf(folder)).message).toContain("must hold merges.txt or tokenizer.json");
    await cp(join(folder, "unicl.yaml"), join(folder, "again.yml"));
    expect((await errorOf(folder)).message).toContain("one YAML configuration with a MODEL, got again.yml, unicl.yaml");
    await rm(join(folder, "unicl.yaml"));
    await writeFile(join(folder, "again.yml"), "steps: 1\n");
    expect((await errorOf(folder)).message).toContain("UniCL with Swin, a .pth file and its YAML configuration");
  });

  it("makes no other object of what stands beside the weights", async () => {
    const folder = await copyOf("unicl");
    const bytes = await readFile(join(folder, "unicl.pth"));
    const at = bytes.indexOf("yacs.config\nCfgNode");
    expect(at).toBeGreaterThan(0);
    bytes.write("yacs.config\nOtherOb", at);
    await writeFile(join(folder, "unicl.pth"), bytes);
    expect((await errorOf(folder)).message).toContain("got a call of yacs.config.OtherOb");
  });
});
