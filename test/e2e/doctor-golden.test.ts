import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadModel } from "../../src/zoo/load-model.ts";
import { jsonLines, runFlorence } from "./run-florence.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-doctor-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function goldenLine(): Promise<{ ok: boolean; detail: string; exitCode: number | null }> {
  const words = ["doctor", "--model", folder, "--json"];
  const { stdout, exitCode } = await runFlorence(words, { loadModel, cacheFolder: join(folder, "cache") });
  const lines = jsonLines(stdout) as { check: string; ok: boolean; detail: string }[];
  const line = lines.find(({ check }) => check === "golden vectors");
  if (!line) throw new Error(`no golden vectors in ${stdout}`);
  return { ok: line.ok, detail: line.detail, exitCode };
}

describe("florence doctor on a checkpoint of another library", () => {
  it.each(["open-clip", "siglip", "unicl"])(
    "compares %s with the golden vectors beside its weights",
    async (family) => {
      await cp(join(root, "test/fixtures/checkpoints", family), folder, { recursive: true });
      expect(await goldenLine()).toEqual({ ok: true, detail: "none published with this model", exitCode: 0 });

      // The vectors are the family's own library's, not ours.
      const { images, texts } = JSON.parse(await readFile(join(folder, "expected.json"), "utf8"));
      const samples = relative(folder, join(root, "samples"));
      const golden = {
        format: "florence-golden/1",
        images: images.map((image: { path: string }) => ({ ...image, path: join(samples, image.path) })),
        texts,
      };
      await writeFile(join(folder, "golden.json"), JSON.stringify(golden));
      const compared = images.length + texts.length;
      expect(await goldenLine()).toMatchObject({
        ok: true,
        detail: expect.stringMatching(new RegExp(`^${compared} compared, lowest cosine (1\\.000000|0\\.99999\\d) `)),
        exitCode: 0,
      });

      golden.texts[0].embedding.reverse();
      await writeFile(join(folder, "golden.json"), JSON.stringify(golden));
      const failed = await goldenLine();
      expect(failed).toMatchObject({ ok: false, exitCode: 1 });
      expect(failed.detail).toContain(`(${JSON.stringify(texts[0].text)}), must be at least 0.9999`);

      await writeFile(join(folder, "golden.json"), "{}");
      expect(await goldenLine()).toMatchObject({ ok: false, exitCode: 1 });
    },
  );
});
