import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, describe, expect, it } from "vitest";
import { Rng } from "../core/rng.ts";
import { openPackedFile, readTarEntries, readUnpacked, type TarEntry } from "./archives.ts";
import { readLines } from "./text-files.ts";

const folder = mkdtempSync(join(tmpdir(), "florence-archives-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function tarFile(name: string, files: Record<string, Uint8Array | string>, gzip = false): Promise<string> {
  const archive = pack();
  archive.entry({ name: "folder", type: "directory" });
  for (const [path, content] of Object.entries(files)) archive.entry({ name: path }, Buffer.from(content));
  archive.entry({ name: "link", type: "symlink", linkname: "/etc/passwd" });
  archive.finalize();
  const bytes = await buffer(archive);
  const path = join(folder, name);
  writeFileSync(path, gzip ? gzipSync(bytes) : bytes);
  return path;
}

async function collect(path: string): Promise<{ entries: TarEntry[]; error: unknown }> {
  const entries: TarEntry[] = [];
  try {
    for await (const entry of readTarEntries(path)) entries.push(entry);
    return { entries, error: undefined };
  } catch (error) {
    return { entries, error };
  }
}

const rng = new Rng(1);
const large = new Uint8Array(300_000).map(() => rng.int(256)); // gzip cannot make it smaller

describe("readTarEntries", () => {
  it.each([false, true])("gives regular files in order (gzip: %s)", async (gzip) => {
    const path = await tarFile("whole", { "./a.txt": "one", "d/b.bin": large, "empty.txt": "" }, gzip);
    const { entries, error } = await collect(path);
    expect(error).toBeUndefined();
    expect(entries.map(({ name, bytes }) => [name, bytes.length])).toEqual([
      ["a.txt", 3],
      ["d/b.bin", 300_000],
      ["empty.txt", 0],
    ]);
    expect(Buffer.compare(entries[1].bytes, large)).toBe(0);
  });

  it.each([false, true])("gives what comes before a cut, then names the archive (gzip: %s)", async (gzip) => {
    const path = await tarFile("cut", { "a.txt": "one", "b.bin": large, "c.txt": "three" }, gzip);
    truncateSync(path, 200_000);
    const { entries, error } = await collect(path);
    expect(entries.map(({ name }) => name)).toEqual(["a.txt"]);
    expect(error).toMatchObject({ code: "corrupt", message: expect.stringContaining(path) });
  });

  it("refuses what is no archive", async () => {
    writeFileSync(join(folder, "text"), "x".repeat(2000));
    writeFileSync(join(folder, "empty"), "");
    expect((await collect(join(folder, "text"))).error).toMatchObject({ code: "corrupt" });
    expect((await collect(join(folder, "empty"))).error).toMatchObject({ code: "empty" });
    expect((await collect(join(folder, "absent"))).error).toMatchObject({ code: "not-found" });
    expect((await collect(folder)).error).toMatchObject({ code: "unsupported" });
  });

  it("can be left before the end", async () => {
    const path = await tarFile("left", { "a.txt": "one", "b.bin": large });
    for await (const entry of readTarEntries(path)) {
      expect(entry.name).toBe("a.txt");
      break;
    }
  });
});

describe("openPackedFile", () => {
  it.each([false, true])("reads ranges and refuses those outside (gzip: %s)", async (gzip) => {
    const path = join(folder, "packed.bin");
    writeFileSync(path, gzip ? gzipSync(large) : large);
    const packed = await openPackedFile(path);
    expect(packed.size).toBe(300_000);
    expect([...(await packed.read(1000, 5))]).toEqual([...large.subarray(1000, 1005)]);
    expect((await packed.read(299_990, 10)).length).toBe(10);
    await expect(packed.read(299_990, 11)).rejects.toMatchObject({ code: "corrupt" });
    await expect(packed.read(-1, 5)).rejects.toMatchObject({ code: "corrupt" });
    await packed.close();
  });

  it("reports a broken gzip", async () => {
    const path = join(folder, "broken.bin.gz");
    writeFileSync(path, gzipSync(large).subarray(0, 5000));
    await expect(openPackedFile(path)).rejects.toMatchObject({
      code: "corrupt",
      message: expect.stringContaining(path),
    });
    expect(readFileSync(path).length).toBe(5000);
  });
});

describe("readLines", () => {
  async function linesOf(content: Uint8Array | string): Promise<string[]> {
    const path = join(folder, "lines.txt");
    writeFileSync(path, content);
    const lines: string[] = [];
    for await (const { number, text } of readLines(path)) lines.push(`${number}:${text}`);
    return lines;
  }

  it("drops the byte order mark and CR, and keeps U+2028 inside a line", async () => {
    expect(await linesOf("\ufeffa\r\n\nb\u2028c\nlast é")).toEqual(["1:a", "2:", "3:b\u2028c", "4:last é"]);
  });

  it("joins lines and characters that are cut by the read size", async () => {
    const long = "é".repeat(400_000);
    expect(await linesOf(`x${long}\ny\n`)).toEqual([`1:x${long}`, "2:y"]);
  });

  it("refuses UTF-16 and empty files", async () => {
    await expect(linesOf(Buffer.from("\ufeffa", "utf16le"))).rejects.toMatchObject({ code: "unsupported" });
    await expect(linesOf("")).rejects.toMatchObject({ code: "empty" });
  });
});

describe("readUnpacked", () => {
  it("gives the same bytes of a plain and of a gzipped file, and names one that is cut off", async () => {
    const bytes = Buffer.from(large);
    for (const [name, content] of [
      ["plain", bytes],
      ["packed", gzipSync(bytes)],
    ] as const) {
      const path = join(folder, `unpacked-${name}`);
      writeFileSync(path, content);
      expect(Buffer.compare(await readUnpacked(path), bytes)).toBe(0);
    }
    const cut = join(folder, "unpacked-packed");
    truncateSync(cut, 1000);
    await expect(readUnpacked(cut)).rejects.toMatchObject({ code: "corrupt", message: expect.stringContaining(cut) });
  });
});
