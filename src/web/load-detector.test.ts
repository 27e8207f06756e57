import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { detectorFiles, greyPictures } from "../../test/support/fake-export.ts";
import { fakeOnnx, gate, serveFiles } from "../../test/support/fake-onnx.ts";
import { loadDetector, type WebDetector } from "./load-detector.ts";

vi.mock("onnxruntime-web/wasm", async () => (await import("../../test/support/fake-onnx.ts")).fakeOnnx.module);

const address = "http://page/detector";
const tooLate = "fake: must not be used after dispose()";

describe("WebDetector", () => {
  let files: Record<string, string>;
  let asked: string[];
  let detector: WebDetector;

  beforeEach(async () => {
    fakeOnnx.reset();
    files = detectorFiles();
    asked = serveFiles(files);
    detector = await loadDetector(address);
  });
  afterEach(() => vi.unstubAllGlobals());

  it("frees its session once, and is of no use afterwards", async () => {
    const [found] = await detector.detect(greyPictures(1));
    expect(found).toMatchObject([{ box: [1, 1, 3, 3], class: 0 }]);
    await Promise.all([detector.dispose(), detector.dispose()]);
    await expect(detector.detect(greyPictures(1))).rejects.toThrow(tooLate);
    expect(fakeOnnx.sessions).toMatchObject([{ isReleased: true }]);
    expect(asked).toEqual(["preprocessing.json", "detector.onnx"]);
  });

  it("stops a call under way at the next picture when it is disposed of", async () => {
    const [started, run] = [gate(), gate()];
    fakeOnnx.duringRun = async () => {
      started.open();
      await run.passed;
    };
    const rejected = expect(detector.detect(greyPictures(3))).rejects.toThrow(tooLate);
    await started.passed;
    const disposed = detector.dispose();
    run.open();
    await Promise.all([rejected, disposed]);
    expect(fakeOnnx.sessions).toMatchObject([{ runs: 1, isReleased: true }]);
  });

  it("stops between pictures when the signal is aborted", async () => {
    const controller = new AbortController();
    fakeOnnx.duringRun = async ({ runs }) => {
      if (runs === 2) setTimeout(() => controller.abort("enough"), 0);
    };
    await expect(detector.detect(greyPictures(2000), { signal: controller.signal })).rejects.toBe("enough");
    expect(fakeOnnx.sessions[0]?.runs).toBeLessThan(1000);
  });

  it("asks for nothing when the signal is aborted already", async () => {
    const signal = AbortSignal.abort("late");
    await expect(loadDetector(address, { signal })).rejects.toBe("late");
    await expect(detector.detect(greyPictures(1), { signal })).rejects.toBe("late");
    expect(asked).toEqual(["preprocessing.json"]);
  });

  it("tries a failed download again", async () => {
    delete files["detector.onnx"];
    await expect(detector.detect(greyPictures(1))).rejects.toMatchObject({ code: "not-found" });
    files["detector.onnx"] = "";
    expect(await detector.detect(greyPictures(2))).toHaveLength(2);
  });
});
