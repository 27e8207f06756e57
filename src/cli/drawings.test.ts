import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Drawings, requireOtherFolder } from "./drawings.ts";

const root = mkdtempSync(join(tmpdir(), "florence-drawings-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const { signal } = new AbortController();

function folderOf(name: string, ...files: string[]): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of files) writeFileSync(join(folder, file), "");
  return folder;
}

describe("Drawings", () => {
  it("gives every picture a name of its own", () => {
    const drawings = new Drawings("found", []);
    const paths = ["p/a.jpg", "p/a-2.jpg", "p/sub/a.jpg", "p/A.png", "p/b.c.png"];
    expect(paths.map((path) => drawings.nameFor(path))).toEqual(["a.jpg", "a-2.jpg", "a-3.jpg", "A-4.jpg", "b.c.jpg"]);
  });
});

describe("requireOtherFolder", () => {
  it("refuses a folder that holds a picture which a drawing could replace", async () => {
    const photos = folderOf("photos", "a.JPG", "b.png");
    const refused = expect.objectContaining({ code: "bad-argument", message: expect.stringContaining("a.JPG in ") });
    await expect(requireOtherFolder(photos, [photos], signal)).rejects.toEqual(refused);
    await expect(requireOtherFolder(photos, [join(photos, "a.JPG")], signal)).rejects.toEqual(refused);
    symlinkSync(photos, join(root, "link"));
    await expect(requireOtherFolder(join(root, "link"), [photos], signal)).rejects.toEqual(refused);
    await expect(requireOtherFolder(photos, [join(root, "link")], signal)).rejects.toEqual(refused);
    const links = folderOf("links"); // of links to the pictures
    symlinkSync(join(photos, "a.JPG"), join(links, "c.jpg"));
    await expect(requireOtherFolder(photos, [links], signal)).rejects.toThrow("c.jpg");
    await expect(requireOtherFolder(links, [links], signal)).rejects.toThrow("c.jpg");
  });

  it("lets pictures be drawn elsewhere, and beside those of other names", async () => {
    const photos = folderOf("others", "a.jpg", "b.png");
    await requireOtherFolder(join(root, "new"), [photos], signal);
    await requireOtherFolder(photos, [join(photos, "b.png")], signal);
    await requireOtherFolder(folderOf("empty"), [photos, join(root, "nowhere")], signal);
  });
});
