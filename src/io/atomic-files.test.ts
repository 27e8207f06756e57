import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { replaceFolder, writeAtomically, writeFileAtomic } from "./atomic-files.ts";

const folder = mkdtempSync(join(tmpdir(), "florence-atomic-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("writes texts and bytes, creating folders", async () => {
  const path = join(folder, "a", "b", "note.txt");
  await writeFileAtomic(path, "héllo");
  await writeFileAtomic(path, new TextEncoder().encode("second"));
  expect(readFileSync(path, "utf8")).toBe("second");
  expect(readdirSync(join(folder, "a", "b"))).toEqual(["note.txt"]);
});

it("keeps the old content and leaves nothing behind when writing fails", async () => {
  const path = join(folder, "kept.txt");
  await writeFileAtomic(path, "old");
  const failing = writeAtomically(path, async (file) => {
    await file.writeFile("half of the n");
    throw new Error("disk on fire");
  });
  await expect(failing).rejects.toThrow(/kept\.txt: .*disk on fire/);
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

it("names the path when a folder is in the way of the file", async () => {
  mkdirSync(join(folder, "taken"));
  await expect(writeFileAtomic(join(folder, "taken"), "x")).rejects.toThrow(/taken/);
});

it("replaces a folder as a whole", async () => {
  const target = join(folder, "set");
  for (const content of ["one", "two"]) {
    mkdirSync(join(folder, "set.partial"));
    writeFileSync(join(folder, "set.partial", content), content);
    await replaceFolder(join(folder, "set.partial"), target);
    expect(readdirSync(target)).toEqual([content]);
  }
  await expect(replaceFolder(join(folder, "absent"), target)).rejects.toMatchObject({ code: "not-found" });
  expect(readdirSync(target)).toEqual(["two"]);
  expect(existsSync(join(folder, "set.partial"))).toBe(false);
});
