import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { walkImageFiles } from "./file-walk.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "florence-walk-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(...names: string[]): Promise<void> {
  for (const name of names) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), name);
  }
}

async function walk(...paths: string[]): Promise<string[]> {
  const seen: string[] = [];
  for await (const file of walkImageFiles(paths.map((path) => join(root, path)))) {
    const name = relative(root, file.path);
    seen.push("error" in file ? `${name}: ${file.error.code}` : name);
  }
  return seen;
}

describe("walkImageFiles", () => {
  it("walks folders recursively, sorted by name, images only, hidden entries left out", async () => {
    await put("b.jpg", "a/2.PNG", "a/10.png", "a/notes.txt", "c/x.webp", ".hidden/y.jpg", "._b.jpg", "a.jpg");
    expect(await walk(".")).toEqual(["a/10.png", "a/2.PNG", "a.jpg", "b.jpg", "c/x.webp"]);
  });

  it("takes named files whatever their ending, in the order given", async () => {
    await put("z.jpg", "report.pdf");
    expect(await walk("z.jpg", "report.pdf", "z.jpg")).toEqual(["z.jpg", "report.pdf", "z.jpg"]);
  });

  it("reports a missing path in its place", async () => {
    await put("a.jpg", "b.jpg");
    expect(await walk("a.jpg", "nowhere.jpg", "b.jpg")).toEqual(["a.jpg", "nowhere.jpg: not-found", "b.jpg"]);
  });

  it("gives size and time of change", async () => {
    await put("a.jpg");
    for await (const file of walkImageFiles([root])) {
      expect(file).toMatchObject({ size: 5, mtimeMs: expect.any(Number) });
    }
  });

  it("ends on link loops, follows links to files and folders, reports dangling image links", async () => {
    await put("inside/a.jpg", "outside/b.jpg");
    await symlink(root, join(root, "inside/loop"));
    await symlink("inside/self", join(root, "inside/self"));
    await symlink(join(root, "outside"), join(root, "inside/other"));
    await symlink(join(root, "inside/a.jpg"), join(root, "inside/again.jpg"));
    await symlink("nowhere", join(root, "inside/gone.jpg"));
    const seen = await walk("inside");
    expect(seen).toEqual([
      "inside/a.jpg",
      "inside/again.jpg",
      "inside/gone.jpg: not-found",
      "inside/loop/outside/b.jpg", // reached through the loop first; each real folder is entered once
    ]);
  });

  it.skipIf(process.platform === "win32")("refuses a pipe instead of waiting for it", async () => {
    execFileSync("mkfifo", [join(root, "pipe.jpg")]);
    expect(await walk(".")).toEqual(["pipe.jpg: unsupported"]);
    expect(await walk("pipe.jpg")).toEqual(["pipe.jpg: unsupported"]);
  });

  it.skipIf(process.getuid?.() === 0)("reports a folder that may not be listed and goes on", async () => {
    await put("closed/a.jpg", "open/b.jpg");
    await chmod(join(root, "closed"), 0o000);
    expect(await walk(".")).toEqual(["closed: unreadable", "open/b.jpg"]);
    await chmod(join(root, "closed"), 0o755);
  });

  it("stops when it is told to", async () => {
    await put("a.jpg");
    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(walkImageFiles([root], { signal: controller.signal }).next()).rejects.toThrow("enough");
  });
});
