import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, describe, expect, it } from "vitest";
import { fetchPackage, type PackageReference, packageEntries, readPackageFile, titleOf } from "./packages.ts";

const root = mkdtempSync(join(tmpdir(), "florence-packages-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function tarball(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files)) archive.entry({ name }, text);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

/** A reference whose package file is in the cache folder already, so that nothing is downloaded. */
function cached(folder: string, bytes: Buffer): PackageReference {
  mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, folder, "npm-scope-thing-1.0.0.tgz"), bytes);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { registry: "npm", name: "@scope/thing", version: "1.0.0", sha256 };
}

describe("packages", () => {
  it("takes a cached package whose checksum agrees, and streams the wanted files", async () => {
    const large = "x".repeat(200_000);
    const bytes = await tarball({ "package/a.txt": "first", "package/b/c.txt": large, "package/skipped.png": "no" });
    const fetched = await fetchPackage(cached("whole", bytes), join(root, "whole"));
    const found: Record<string, number> = {};
    for await (const entry of packageEntries(fetched, (path) => path.endsWith(".txt"))) {
      found[entry.path] = entry.bytes.length;
    }
    expect(found).toEqual({ "a.txt": 5, "b/c.txt": 200_000 });
    expect((await readPackageFile(fetched, "a.txt")).toString()).toBe("first");
    await expect(readPackageFile(fetched, "absent")).rejects.toThrow(/must contain absent/);
    expect(titleOf(fetched.reference)).toBe("npm @scope/thing 1.0.0");
  });

  it("refuses a package with another checksum", async () => {
    const reference = cached("changed", await tarball({ "package/a": "1" }));
    const changed = { ...reference, sha256: "0".repeat(64) };
    await expect(fetchPackage(changed, join(root, "changed"))).rejects.toMatchObject({ code: "mismatch" });
  });

  it("reports a damaged archive", async () => {
    const whole = await tarball({ "package/a": "y".repeat(100_000) });
    const fetched = await fetchPackage(cached("cut", whole.subarray(0, 60)), join(root, "cut"));
    await expect(readPackageFile(fetched, "a")).rejects.toMatchObject({ code: "corrupt" });
  });
});
