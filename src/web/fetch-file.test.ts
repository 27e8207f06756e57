import { afterEach, describe, expect, it, vi } from "vitest";
import { fetchFile } from "./fetch-file.ts";

const text = (response: Response) => response.text();

describe("fetchFile", () => {
  afterEach(() => vi.unstubAllGlobals());

  it.each([
    ["an address without a file", async () => new Response("", { status: 404 }), "not-found"],
    ["a server in trouble", async () => new Response("", { status: 500 }), "network"],
    ["a network that is down", () => Promise.reject(new TypeError("Failed to fetch")), "network"],
    ["a body that breaks off", async () => broken(new TypeError("network error")), "network"],
  ])("names %s", async (_, fetch, code) => {
    vi.stubGlobal("fetch", fetch);
    await expect(fetchFile("http://page/a.onnx", text)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/^http:\/\/page\/a\.onnx: must be/),
    });
  });

  it.each(["the answer", "the body"])("rejects with the signal's reason when it is aborted before %s", async (part) => {
    const controller = new AbortController();
    const fetch = vi.fn(async () => {
      controller.abort("enough");
      if (part === "the body") return broken(new DOMException("aborted", "AbortError"));
      throw new DOMException("aborted", "AbortError");
    });
    vi.stubGlobal("fetch", fetch);
    await expect(fetchFile("http://page/a.onnx", text, { signal: controller.signal })).rejects.toBe("enough");
    expect(fetch).toHaveBeenCalledWith("http://page/a.onnx", { signal: controller.signal });
  });
});

function broken(error: Error): Response {
  return new Response(new ReadableStream({ start: (controller) => controller.error(error) }));
}
