import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OpenedLabelledSet, openLabelledSet } from "./open-labelled-set.ts";
import { type WrittenForm, writeLabelledSet } from "./write-labelled-set.ts";

const root = mkdtempSync(join(tmpdir(), "florence-convert-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function put(path: string, red: number): Promise<void> {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  const picture = sharp({ create: { width: 2, height: 2, channels: 3, background: { r: red, g: 0, b: 0 } } });
  writeFileSync(join(root, path), await picture.png().toBuffer());
}

/** What a set holds, whatever its form: split, labels, captions and a digest of the bytes of every image, sorted. */
async function contentOf(set: OpenedLabelledSet): Promise<unknown> {
  const images = [...set.splits].flatMap(([split, list]) => list.map((image) => ({ split, image })));
  const lines = await Promise.all(
    images.map(async ({ split, image }) => {
      const digest = createHash("sha256")
        .update(await set.readBytes(image))
        .digest("hex");
      return JSON.stringify([split, image.labels, image.texts, digest]);
    }),
  );
  return { classes: set.classes, isMultiLabel: set.isMultiLabel, problems: set.problems, lines: lines.sort() };
}

async function convert(path: string, form: WrittenForm): Promise<{ before: unknown; after: unknown; folder: string }> {
  const set = await openLabelledSet(join(root, path));
  const folder = join(root, `${path.replaceAll("/", "-")}-as-${form}`);
  await writeLabelledSet(set, form, folder);
  const again = await openLabelledSet(folder);
  const result = { before: await contentOf(set), after: await contentOf(again), folder };
  await Promise.all([set.close(), again.close()]);
  return result;
}

describe("writeLabelledSet", () => {
  beforeAll(async () => {
    for (const [i, path] of [
      "train/zebra_foal/1.png",
      "train/ant/1.png",
      "train/ant/sub/1.png",
      "val/ant/1.png",
    ].entries()) {
      await put(`folder/${path}`, i);
    }
    mkdirSync(join(root, "folder/train/nobody"));
    for (let i = 0; i < 4; i++) await put(`rich/odd name, ${i}.jpeg`, 50 + i); // PNG under a wrong ending
    const rows = [
      {
        file: "odd name, 0.jpeg",
        labels: ["a|b", "c; d"],
        captions: ['says "hi",', "two\nlines", " ünï "],
        split: "train",
      },
      { file: "odd name, 1.jpeg", labels: ["c; d"], split: "dev" },
      { file: "odd name, 2.jpeg", labels: [], captions: ["a caption only"], split: "test" },
      { file: "odd name, 3.jpeg", labels: [], split: "test" },
    ];
    writeFileSync(join(root, "rich/metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    for (let i = 0; i < 2; i++) await put(`plain/${i}.png`, 90 + i);
    writeFileSync(join(root, "plain/t.csv"), 'image,label,caption\n0.png,x|y,"one, two"\n0.png,x|y,three\n1.png,x,\n');
  });

  it.each(["folder", "csv", "jsonl", "webdataset"] as const)("loses nothing of class folders as %s", async (form) => {
    const { before, after } = await convert("folder", form);
    expect(after).toEqual(before);
    expect(before).toMatchObject({ classes: ["ant", "nobody", "zebra foal"], lines: { length: 4 } });
  });

  it.each(["jsonl", "webdataset"] as const)(
    "loses nothing of several labels, captions and odd names as %s",
    async (form) => {
      const { before, after, folder } = await convert("rich", form);
      expect(after).toEqual(before);
      expect(before).toMatchObject({ isMultiLabel: true, problems: [], lines: { length: 4 } });
      if (form === "jsonl") expect(existsSync(join(folder, "images/odd name, 0.png"))).toBe(true); // named as what it is
    },
  );

  it("names pictures in a folder apart that would have one name there", async () => {
    for (const [i, path] of ["cat/1/2.png", "cat/1-2.png", "cat/1-2.PNG", "dog/1/2.png"].entries())
      await put(`nested/${path}`, i);
    const { before, after, folder } = await convert("nested", "folder");
    expect(after).toEqual(before);
    expect(readdirSync(join(folder, "train/cat")).sort()).toEqual(["1-2-2.png", "1-2-3.png", "1-2.png"]);
  });

  it("writes several captions as several rows of CSV", async () => {
    const { before, after } = await convert("plain", "csv");
    expect(after).toEqual(before);
    expect(before).toMatchObject({ isMultiLabel: true });
  });

  it("refuses a form that would lose something, and a folder that is there", async () => {
    const set = await openLabelledSet(join(root, "rich"));
    await expect(writeLabelledSet(set, "folder", join(root, "x"))).rejects.toThrow(
      /got pictures without one label each\. Write jsonl/,
    );
    await expect(writeLabelledSet(set, "csv", join(root, "x"))).rejects.toThrow(
      /the class "a\|b", which holds a separator/,
    );
    await expect(writeLabelledSet(set, "jsonl", join(root, "plain"))).rejects.toThrow(/must be a new folder/);
    await set.close();
    expect(existsSync(join(root, "x"))).toBe(false);
  });

  it("leaves no folder behind when it fails, and reports single images where somebody listens", async () => {
    await put("fragile/a/1.png", 1);
    await put("fragile/a/2.png", 2);
    const set = await openLabelledSet(join(root, "fragile"));
    unlinkSync(join(root, "fragile/a/1.png"));
    const out = join(root, "out");
    await expect(writeLabelledSet(set, "webdataset", out)).rejects.toMatchObject({ code: "not-found" });
    expect(readdirSync(root).filter((name) => name.startsWith("out"))).toEqual([]);
    const failed: string[] = [];
    expect(await writeLabelledSet(set, "webdataset", out, { onFailure: ({ key }) => failed.push(key) })).toBe(1);
    expect([failed, readdirSync(out)]).toEqual([["a/1.png"], ["classes.txt", "train-000000.tar"]]);
    await set.close();
  });
});
