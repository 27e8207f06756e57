import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { greyPictures, modelFiles } from "../../test/support/fake-export.ts";
import { fakeOnnx, gate, serveFiles } from "../../test/support/fake-onnx.ts";
import { loadModel, type WebModel } from "./load-model.ts";

vi.mock("onnxruntime-web/wasm", async () => (await import("../../test/support/fake-onnx.ts")).fakeOnnx.module);

const address = "http://page/model";
const tooLate = "fake: must not be used after dispose()";

describe("WebModel", () => {
  let files: Record<string, string>;
  let asked: string[];
  let model: WebModel;

  beforeEach(async () => {
    fakeOnnx.reset();
    files = modelFiles();
    asked = serveFiles(files);
    model = await loadModel(address);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("fetches each tower once", async () => {
    expect(await model.embedImages(greyPictures(20))).toHaveLength(20);
    expect(await Promise.all([model.embedTexts(["cat"]), model.embedTexts(["dog"])])).toHaveLength(2);
    await model.embedTexts(["a cat"]);
    expect(asked).toEqual(["preprocessing.json", "image.onnx", "vocab.txt", "text.onnx"]);
    expect(fakeOnnx.sessions.map(({ runs }) => runs)).toEqual([3, 3]);
  });

  it("frees both sessions when it is disposed of, once, and is of no use afterwards", async () => {
    await Promise.all([model.embedImages(greyPictures(1)), model.embedTexts(["cat"])]);
    await Promise.all([model.dispose(), model.dispose()]);
    await model.dispose();
    expect(fakeOnnx.sessions.map(({ isReleased }) => isReleased)).toEqual([true, true]);
    await expect(model.embedImages(greyPictures(1))).rejects.toThrow(tooLate);
    await expect(model.embedImages([])).rejects.toThrow(tooLate);
    await expect(model.embedTexts(["cat"])).rejects.toThrow(tooLate);
    expect(asked).toHaveLength(4);
    expect(fakeOnnx.sessions).toHaveLength(2);
  });

  it("stops a call under way at the next group when it is disposed of, and frees the session after the run", async () => {
    const [started, run] = [gate(), gate()];
    fakeOnnx.duringRun = async () => {
      started.open();
      await run.passed;
    };
    const call = model.embedImages(greyPictures(20));
    const rejected = expect(call).rejects.toThrow(tooLate);
    await started.passed;
    const disposed = model.dispose();
    run.open();
    await Promise.all([rejected, disposed]);
    expect(fakeOnnx.sessions).toMatchObject([{ runs: 1, isReleased: true }]);
  });

  it.each(["image", "text"])("frees the session that is opened while it is disposed of (%s)", async (tower) => {
    const [started, creation] = [gate(), gate()];
    fakeOnnx.duringCreate = async () => {
      started.open();
      await creation.passed;
    };
    const call = tower === "image" ? model.embedImages(greyPictures(1)) : model.embedTexts(["cat"]);
    const rejected = expect(call).rejects.toThrow(tooLate);
    await started.passed;
    const disposed = model.dispose();
    creation.open();
    await Promise.all([rejected, disposed]);
    expect(fakeOnnx.sessions).toMatchObject([{ runs: 0, isReleased: true }]);
  });

  it("frees one tower though the other's download fails meanwhile", async () => {
    await model.embedImages(greyPictures(1));
    delete files["text.onnx"];
    const call = model.embedTexts(["cat"]);
    const rejected = expect(call).rejects.toThrow();
    await model.dispose();
    await rejected;
    expect(fakeOnnx.sessions).toMatchObject([{ isReleased: true }]);
  });

  it("frees the other tower when one cannot be freed, and says so", async () => {
    await model.embedImages(greyPictures(1));
    await model.embedTexts(["cat"]);
    vi.spyOn(fakeOnnx.sessions[0] as (typeof fakeOnnx.sessions)[0], "release").mockRejectedValue(new Error("stuck"));
    await expect(model.dispose()).rejects.toThrow("stuck");
    expect(fakeOnnx.sessions[1]?.isReleased).toBe(true);
  });

  it.each(["vocab.txt", "text.onnx"])("tries a failed download of %s again", async (name) => {
    const body = files[name] as string;
    delete files[name];
    await expect(model.embedTexts(["cat"])).rejects.toMatchObject({ code: "not-found" });
    files[name] = body;
    expect(await model.embedTexts(["cat"])).toHaveLength(1);
  });

  it("stops between groups when the signal is aborted", async () => {
    for (const embed of [
      (signal: AbortSignal) => model.embedImages(greyPictures(800), { signal }),
      (signal: AbortSignal) => model.embedTexts(Array<string>(3200).fill("cat"), { signal }),
    ]) {
      const controller = new AbortController();
      fakeOnnx.duringRun = async (session) => {
        if (session.runs === 2) setTimeout(() => controller.abort("enough"), 0);
        const until = performance.now() + 2; // as a run without threads, which no timer interrupts
        while (performance.now() < until);
      };
      await expect(embed(controller.signal)).rejects.toBe("enough");
      expect(fakeOnnx.sessions.at(-1)?.runs).toBeLessThan(50);
    }
  });

  it("hands the signal on to downloads", async () => {
    const stopped = (call: (signal: AbortSignal) => Promise<unknown>) => {
      const controller = new AbortController();
      const rejected = expect(call(controller.signal)).rejects.toBe("enough");
      controller.abort("enough");
      return rejected;
    };
    await stopped((signal) => loadModel(address, { signal }));
    await stopped((signal) => model.embedImages(greyPictures(1), { signal }));
    await stopped((signal) => model.embedImages(["cat.jpg"], { signal }));
    await stopped((signal) => model.embedTexts(["cat"], { signal }));
    expect(fakeOnnx.sessions).toEqual([]);
    expect(await model.embedTexts(["cat"])).toHaveLength(1);
  });

  it("asks for nothing when the signal is aborted already", async () => {
    const signal = AbortSignal.abort("late");
    for (const call of [
      loadModel(address, { signal }),
      model.embedImages([], { signal }),
      model.embedTexts([], { signal }),
    ]) {
      await expect(call).rejects.toBe("late");
    }
    expect(asked).toEqual(["preprocessing.json"]);
  });
});
