import { describe, expect, it, vi } from "vitest";
import { gate } from "../../test/support/fake-onnx.ts";
import type { CallOptions } from "./aborting.ts";
import { SharedLoad } from "./shared-load.ts";

describe("SharedLoad", () => {
  it("loads once for all who ask", async () => {
    const load = vi.fn(async () => "value");
    const shared = new SharedLoad(load);
    expect(await Promise.all([shared.get(), shared.get()])).toEqual(["value", "value"]);
    expect(await shared.get()).toBe("value");
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("tries again after a failure", async () => {
    const load = vi.fn(async () => "value").mockRejectedValueOnce(new Error("offline"));
    const shared = new SharedLoad(load);
    await expect(Promise.all([shared.get(), shared.get()])).rejects.toThrow("offline");
    expect(await shared.get()).toBe("value");
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("goes on for the others when one gives up, and stops with the last", async () => {
    const signals: AbortSignal[] = [];
    const loading = gate();
    const shared = new SharedLoad(async ({ signal }: CallOptions) => {
      signals.push(signal as AbortSignal);
      await loading.passed;
      return "value";
    });
    const [first, second] = [new AbortController(), new AbortController()];
    const calls = [shared.get({ signal: first.signal }), shared.get({ signal: second.signal })];
    first.abort("first");
    await expect(calls[0]).rejects.toBe("first");
    expect(signals[0]?.aborted).toBe(false);
    second.abort("second");
    await expect(calls[1]).rejects.toBe("second");
    expect(signals[0]?.reason).toBe("second");
    loading.open();
    expect(await shared.get()).toBe("value");
    expect(signals).toHaveLength(2);
  });

  it("frees what comes of a load that was given up", async () => {
    const release = vi.fn(async () => undefined);
    const loading = gate();
    const shared = new SharedLoad(async () => {
      await loading.passed;
      return "value";
    }, release);
    const controller = new AbortController();
    const call = shared.get({ signal: controller.signal });
    controller.abort("enough");
    await expect(call).rejects.toBe("enough");
    loading.open();
    await vi.waitFor(() => expect(release).toHaveBeenCalledExactlyOnceWith("value"));
  });

  it.each(["before", "after"])("frees its value once when it is closed %s the load's end", async (when) => {
    const release = vi.fn(async () => undefined);
    const loading = gate();
    const shared = new SharedLoad(async () => {
      await loading.passed;
      return "value";
    }, release);
    const call = shared.get();
    if (when === "after") {
      loading.open();
      await call;
    }
    const closed = shared.close(new Error("closed"));
    loading.open();
    if (when === "before") await expect(call).rejects.toThrow("closed");
    await closed;
    await shared.close(new Error("closed again"));
    expect(release).toHaveBeenCalledExactlyOnceWith("value");
  });

  it("refuses a signal that is aborted already", async () => {
    const load = vi.fn(async () => "value");
    await expect(new SharedLoad(load).get({ signal: AbortSignal.abort("late") })).rejects.toBe("late");
    expect(load).not.toHaveBeenCalled();
  });
});
