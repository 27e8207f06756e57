import { afterAll, expect, it, vi } from "vitest";

vi.mock("onnxruntime-web/wasm", async () => (await import("../../test/support/fake-onnx.ts")).fakeOnnx.module);
afterAll(() => vi.unstubAllGlobals());

it("builds its schemas without trying to compile code", async () => {
  const compile = vi.fn(); // a Content-Security-Policy without 'unsafe-eval' reports every try
  vi.stubGlobal("Function", compile);
  await import("./web.ts");
  const { exportedModelSchema } = await import("../models/exported-model.ts");
  expect(exportedModelSchema.safeParse({}).success).toBe(false);
  expect(compile).not.toHaveBeenCalled();
});
