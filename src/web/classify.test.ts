import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { greyPictures, modelFiles } from "../../test/support/fake-export.ts";
import { fakeOnnx, serveFiles } from "../../test/support/fake-onnx.ts";
import { classify } from "./classify.ts";
import { loadModel, type WebModel } from "./load-model.ts";

vi.mock("onnxruntime-web/wasm", async () => (await import("../../test/support/fake-onnx.ts")).fakeOnnx.module);

const labels = ["cat", "dog"];

describe("classify", () => {
  let model: WebModel;
  let embedded: number; // texts

  beforeEach(async () => {
    fakeOnnx.reset();
    serveFiles(modelFiles());
    model = await loadModel("http://page/model");
    embedded = 0;
    const embedTexts = model.embedTexts.bind(model);
    model.embedTexts = (texts, options) => {
      embedded += texts.length;
      return embedTexts(texts, options);
    };
  });
  afterEach(() => vi.unstubAllGlobals());

  it("embeds labels once for each list of labels and templates", async () => {
    const templates = ["a {}", "the {}"];
    const ask = (labels: string[], templates?: string[]) =>
      classify(model, greyPictures(1), labels, templates ? { templates } : {});
    const [first, again] = await Promise.all([ask(labels, templates), ask(labels, templates)]);
    expect(await ask([" cat", "dog "], templates)).toEqual(first);
    expect(again).toEqual(first);
    expect(embedded).toBe(4);
    await ask(["dog", "cat"], templates);
    expect(embedded).toBe(8);
    await ask(labels, ["a {}"]);
    expect(embedded).toBe(10);
    await ask(labels);
    expect(embedded).toBeGreaterThan(10);
  });

  it("keeps the lists of each model apart", async () => {
    await classify(model, greyPictures(1), labels, { templates: ["{}"] });
    const other = await loadModel("http://page/model");
    await classify(other, greyPictures(1), labels, { templates: ["{}"] });
    expect(fakeOnnx.sessions.map(({ runs }) => runs)).toEqual([1, 1, 1, 1]); // text, image; text, image
  });

  it("keeps the eight lists used last", async () => {
    const ask = (word: string) => classify(model, [], ["cat", word], { templates: ["{}"] });
    for (const word of ["a", "b", "c", "d", "e", "f", "g", "h"]) await ask(word);
    expect(embedded).toBe(16);
    await ask("a"); // is the one used last now, "b" the oldest
    await ask("i");
    await ask("a");
    expect(embedded).toBe(18);
    await ask("b");
    expect(embedded).toBe(20);
  });

  it("keeps nothing of labels whose embedding fails", async () => {
    fakeOnnx.duringRun = async () => {
      throw new Error("out of memory");
    };
    await expect(classify(model, greyPictures(1), labels)).rejects.toThrow("out of memory");
    fakeOnnx.duringRun = async () => undefined;
    expect(await classify(model, greyPictures(1), labels)).toHaveLength(1);
  });

  it("rejects with the reason of an abort, while texts are embedded and while pictures are", async () => {
    const aborted = (pictures: number) => {
      const controller = new AbortController();
      const call = classify(model, greyPictures(pictures), labels, { signal: controller.signal });
      const rejected = expect(call).rejects.toBe("enough");
      setTimeout(() => controller.abort("enough"), 1);
      return rejected;
    };
    await aborted(1);
    await classify(model, greyPictures(1), labels);
    await aborted(8000);
  });

  it("rejects after dispose although the labels are known", async () => {
    await classify(model, greyPictures(1), labels);
    await model.dispose();
    await expect(classify(model, [], labels)).rejects.toThrow("fake: must not be used after dispose()");
  });
});
