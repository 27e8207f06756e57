import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportOnnx } from "../../src/zoo/export-model.ts";
import { loadModel } from "../../src/zoo/load-model.ts";
import { saveTinyClip } from "./tiny-clip.ts";

const root = resolve(import.meta.dirname, "../..");
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (!executablePath) console.log("web-example.test: skipped, Chromium is not installed");

describe.skipIf(!executablePath)("examples/web in Chromium", () => {
  let folder: string;
  let server: ChildProcess;
  let browser: Browser;
  let address: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "florence-example-"));
    await saveTinyClip(join(folder, "clip"));
    const model = await loadModel(join(folder, "clip"));
    await exportOnnx({ source: join(folder, "clip"), model, target: join(folder, "model") }, "both");
    await model.dispose();
    const script = join(root, "examples/web/serve.ts");
    server = spawn(process.execPath, ["--import", "tsx", script, "0", join(folder, "model")], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(server.stdout as NodeJS.ReadableStream, "data");
    address = String(line).trim();
    browser = await chromium.launch({ executablePath: executablePath as string, args: ["--no-sandbox"] });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    server?.kill();
    await rm(folder, { recursive: true, force: true });
  });

  it("classifies a chosen picture, with threads", async () => {
    const page = await browser.newPage();
    const errors: string[] = [];
    const threads: string[] = [];
    page.on("pageerror", ({ message }) => errors.push(message));
    page.on("worker", (worker) => threads.push(worker.url()));
    // onnxruntime-web takes half of the processors, so one thread where there are two
    await page.addInitScript(() => Object.defineProperty(navigator, "hardwareConcurrency", { value: 4 }));
    await page.goto(address);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.setInputFiles("#picture", join(root, "samples/cat.jpg"));
    await page.waitForSelector("#result .row, #status.error");
    expect(await page.textContent("#status")).toMatch(/^\d+ ms$/);
    expect(await page.locator("#result .row").count()).toBe(8);
    expect(threads).toEqual([`${address}ort-wasm-simd-threaded.mjs`]);
    expect(errors).toEqual([]);
  });
});
