import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { compareWithReference } from "../support/reference-embeddings.ts";

const fixtures = fileURLToPath(new URL("../fixtures/checkpoints/openai", import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-openai-"));
  for (const name of ["expected.json", "merges.txt"])
    await writeFile(join(folder, name), await readFile(join(fixtures, name)));
  await writeFile(join(folder, "ViT-tiny.pt"), gunzipSync(await readFile(join(fixtures, "ViT-tiny.pt.gz"))));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("OpenAI's TorchScript archives", () => {
  it("embed as open_clip's own loader of them does, from picture bytes and strings on", async () => {
    const model = await loadModel(folder);
    const { rows, lowestCosine, largestDifference, scaleError } = await compareWithReference(model, folder);
    await model.dispose();
    expect(rows.length).toBe(10);
    expect(lowestCosine).toBeGreaterThan(0.999999);
    expect(largestDifference).toBeLessThan(2e-6);
    expect(scaleError).toBeLessThan(1e-6);
  });

  it("tell every size by their shapes", async () => {
    const { architecture, preprocessing } = await readCheckpoint(folder);
    expect(architecture.image).toMatchObject({ imageSize: 24, patch: 8, width: 64, heads: 1, layers: 1 });
    expect(architecture.image).toMatchObject({ activation: "quick-gelu" });
    expect(architecture.text).toMatchObject({ contextLength: 77, vocabulary: 574, width: 64, layers: 2 });
    expect(architecture.embedding).toBe(12);
    expect(preprocessing).toMatchObject({ size: 24, resize: "shorter-side", filter: "bicubic" });
  });

  it("need no tokenizer beside them where they have CLIP's own vocabulary", async () => {
    const bare = await mkdtemp(join(folder, "bare-"));
    await writeFile(
      join(bare, "ViT-B-32.pt"),
      gunzipSync(await readFile(join(fixtures, "../openai-bare/ViT-zeros.pt.gz"))),
    );
    const { tokenizer } = await readCheckpoint(bare);
    expect(Array.from(tokenizer.encode("a photo of a cat"))).toEqual([49_406, 320, 1125, 539, 320, 2368, 49_407]);
  });

  it("with a ResNet are refused by that name", async () => {
    await writeFile(join(folder, "ViT-tiny.pt"), await readFile(join(fixtures, "resnet.archive")));
    await expect(loadModel(folder)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("ViT-tiny.pt: the image tower must be a ViT, got a ResNet"),
    });
  });
});
