import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { UserError } from "../core/errors.ts";
import { fileError, writeError } from "./file-errors.ts";
import { isTaken, requirePlace, writeFolderAtomic } from "./output-folder.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "florence-output-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const writeNote = (text: string) => async (unfinished: string) => writeFileSync(join(unfinished, "note.txt"), text);
const noteIn = (name: string) => readFileSync(join(folder, name, "note.txt"), "utf8");

it("writes and replaces a folder, with or without a slash at the end, and creates those above it", async () => {
  const target = join(folder, "a", "b");
  await writeFolderAtomic(`${target}/`, writeNote("one"));
  expect(noteIn("a/b")).toBe("one");
  await writeFolderAtomic(`${target}//`, writeNote("two"));
  await writeFolderAtomic(target, writeNote("three"));
  expect(noteIn("a/b")).toBe("three");
  expect(readdirSync(join(folder, "a"))).toEqual(["b"]);
  expect(readdirSync(target)).toEqual(["note.txt"]);
});

it("keeps the old folder and leaves nothing behind when writing fails, is refused at the end or stopped", async () => {
  const target = join(folder, "kept");
  await writeFolderAtomic(target, writeNote("old"));
  const broken = writeFolderAtomic(target, async () => {
    throw new Error("disk on fire");
  });
  await expect(broken).rejects.toThrow("disk on fire");
  const beforeReplacing = async () => {
    throw new UserError("bad-argument", "kept: no.");
  };
  await expect(writeFolderAtomic(target, writeNote("new"), { beforeReplacing })).rejects.toThrow("kept: no.");
  const stop = new AbortController();
  const stopped = writeFolderAtomic(
    target,
    async (unfinished) => {
      await writeNote("new")(unfinished);
      stop.abort(new UserError("cancelled", "stopped."));
    },
    { signal: stop.signal },
  );
  await expect(stopped).rejects.toMatchObject({ code: "cancelled" });
  expect(noteIn("kept")).toBe("old");
  expect(readdirSync(folder)).toEqual(["kept"]);
});

it("names a file that stands where a folder above the target must be", async () => {
  writeFileSync(join(folder, "thesis.txt"), "mine");
  for (const target of ["thesis.txt/model", "thesis.txt/a/b/"]) {
    const refused = writeFolderAtomic(join(folder, target), writeNote("x"));
    await expect(refused).rejects.toMatchObject({ code: "bad-argument" });
    await expect(refused).rejects.toThrow(/thesis\.txt: must be a folder, since .*got a file\. Name another folder\./);
  }
  await expect(requirePlace(join(folder, "new", "model"))).resolves.toBeUndefined();
  expect(readFileSync(join(folder, "thesis.txt"), "utf8")).toBe("mine");
});

it("says of a place that may not be written what to do", () => {
  for (const code of ["EACCES", "EPERM", "EROFS"]) {
    const error = writeError("/srv/model", Object.assign(new Error("no"), { code }));
    expect(error).toMatchObject({ code: "unreadable" });
    expect(error.message).toBe(
      `/srv/model: must be writable, got ${code}. Name another folder, or change its permissions.`,
    );
  }
  const full = Object.assign(new Error("full"), { code: "ENOSPC" });
  expect(writeError("/srv/model", full).message).toBe(fileError("/srv/model", full).message);
});

it("counts a link to nowhere as taken", async () => {
  symlinkSync(join(folder, "gone"), join(folder, "link"));
  expect(await isTaken(join(folder, "link"))).toBe(true);
  expect(await isTaken(join(folder, "gone"))).toBe(false);
});

it("removes what is unfinished when the process is told to end at once", () => {
  mkdirSync(join(folder, "place"));
  const script = `
    const { writeFolderAtomic } = await import(${JSON.stringify(new URL("output-folder.ts", import.meta.url).href)});
    const { writeFileSync, existsSync } = await import("node:fs");
    await writeFolderAtomic(${JSON.stringify(join(folder, "place", "model"))}, async (unfinished) => {
      writeFileSync(unfinished + "/half.txt", "x");
      console.log(existsSync(unfinished + "/half.txt"));
      process.exit(130);
    });`;
  let status: unknown;
  let stdout = "";
  try {
    execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], { encoding: "utf8" });
  } catch (error) {
    ({ status, stdout } = error as { status: unknown; stdout: string });
  }
  expect([status, stdout.trim()]).toEqual([130, "true"]);
  expect(readdirSync(join(folder, "place"))).toEqual([]);
  expect(existsSync(join(folder, "place", "model"))).toBe(false);
});
