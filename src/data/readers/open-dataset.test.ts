import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OpenDatasetOptions, openDataset } from "./open-dataset.ts";
import type { DatasetProblem, DatasetRecord } from "./record.ts";

const root = mkdtempSync(join(tmpdir(), "florence-readers-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, content: string | Uint8Array = "x"): string {
  const full = join(root, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  return full;
}

async function readAll(path: string, options: OpenDatasetOptions = {}) {
  const problems: DatasetProblem[] = [];
  const records: DatasetRecord[] = [];
  const dataset = await openDataset(path, { ...options, onProblem: (problem) => problems.push(problem) });
  for await (const record of dataset.records()) records.push(record);
  return { format: dataset.format, records, problems };
}

async function tar(path: string, files: [name: string, content: string][]): Promise<string> {
  const archive = pack();
  for (const [name, content] of files) archive.entry({ name }, content);
  archive.finalize();
  return put(path, await buffer(archive));
}

describe("folder of classes", () => {
  it("labels by folder, reports stray and dangling files", async () => {
    put("classes/golden_retriever/b.jpg");
    put("classes/golden_retriever/deep/a.png");
    put("classes/cat/1.jpeg");
    put("classes/cat/notes.txt");
    put("classes/stray.png");
    put("classes/.hidden/x.png");
    const { format, records, problems } = await readAll(join(root, "classes"));
    expect(format).toBe("folder-of-classes");
    expect(records.map(({ key, texts, label }) => [key, texts, label])).toEqual([
      ["cat/1.jpeg", ["cat"], "cat"],
      ["golden_retriever/b.jpg", ["golden retriever"], "golden_retriever"],
      ["golden_retriever/deep/a.png", ["golden retriever"], "golden_retriever"],
    ]);
    expect(problems).toMatchObject([{ path: join(root, "classes/stray.png"), error: { code: "bad-argument" } }]);
  });
});

describe("tables", () => {
  it("reads CSV with BOM, CRLF and quotes; bad rows are reported by line", async () => {
    const path = put(
      "csv/captions.csv",
      '\ufefffilepath,Title,Label\r\na.jpg,"a dog, ""Rex"", runs",dog\r\nb.jpg,too,many,fields\r\n,"no image",cat\r\nsub/c.png,,cat_tree\r\nd.jpg,,\r\nhttps://x.org/e.jpg,e,\r\n',
    );
    const { format, records, problems } = await readAll(path);
    expect(format).toBe("csv");
    expect(records).toEqual([
      { key: "a.jpg", image: join(root, "csv/a.jpg"), texts: ['a dog, "Rex", runs'], label: "dog" },
      { key: "sub/c.png", image: join(root, "csv/sub/c.png"), texts: ["cat tree"], label: "cat_tree" },
    ]);
    expect(problems.map((problem) => problem.path)).toEqual([3, 4, 6, 7].map((line) => `${path}:${line}`));
    expect(problems[0].error.message).toMatch(/must have 3 fields as the header, got 4/);
    expect(problems[2].error.message).toMatch(/text or a label/);
    expect(problems[3].error.message).toMatch(/on this machine/);
  });

  it("throws the first problem where nobody listens", async () => {
    const dataset = await openDataset(put("csv/bad.csv", "image,text\na.jpg\n"));
    await expect(dataset.records()[Symbol.asyncIterator]().next()).rejects.toThrow(/bad\.csv:2: must have 2 fields/);
  });

  it("reads TSV with columns named by the caller", async () => {
    const path = put("tsv/pairs.tsv", 'where\tsays\talso\nx.jpg\ta "fine" day\tein Tag\n');
    const { records } = await readAll(path, {
      columns: { image: "where", text: ["says", "also"] },
      imageFolder: "/img",
    });
    expect(records).toEqual([{ key: "x.jpg", image: "/img/x.jpg", texts: ['a "fine" day', "ein Tag"] }]);
    await expect(readAll(path)).rejects.toThrow(/must have an image column .* got where, says, also/);
    await expect(readAll(path, { columns: { image: "nope" } })).rejects.toThrow(/must have a column "nope"/);
  });

  it("reads one split of a table or of a folder of splits, by any word for it", async () => {
    const rows = ["train", "valid", "Dev", "extra"].map((split, i) =>
      JSON.stringify({ file: `${i}.jpg`, text: "t", split }),
    );
    const path = put("split-column/rows.jsonl", rows.join("\n"));
    const keysOf = async (split: string) => (await readAll(path, { split })).records.map(({ key }) => key);
    expect([await keysOf("validation"), await keysOf("extra")]).toEqual([["1.jpg", "2.jpg"], ["3.jpg"]]);
    await expect(readAll(path)).rejects.toThrow("must be one split, got train, val, extra");
    await expect(readAll(path, { split: "test" })).rejects.toThrow("rows of the split test, got train, val, extra");
    const single = put("split-column/single.csv", "file,text,split\na.jpg,a,test\nb.jpg,b,test\n");
    expect((await readAll(single)).records.length).toBe(2);
    put("folders/train/cat/a.jpg");
    put("folders/valid/cat/b.jpg");
    const folders = join(root, "folders");
    expect((await readAll(folders, { split: "val" })).records.map(({ key }) => key)).toEqual(["cat/b.jpg"]);
    await expect(readAll(folders)).rejects.toThrow("must be one split");
    await expect(readAll(join(folders, "train"), { split: "val" })).rejects.toThrow("Leave out --split");
  });

  it("reads JSON lines, caption lists and ids", async () => {
    const lines = [
      '{"id": 7, "file": "a.jpg", "captions": ["one", " two ", ""], "label": 3}',
      "{broken",
      '["no object"]',
      "",
      '{"image_path": "b.jpg", "text": "b\u2028c"}',
      '{"text": "no image"}',
      '{"file": "c.jpg", "captions": [4]}',
    ];
    const { format, records, problems } = await readAll(put("jsonl/rows.jsonl", lines.join("\n")));
    expect(format).toBe("jsonl");
    expect(records).toEqual([
      { key: "7", image: join(root, "jsonl/a.jpg"), texts: ["one", "two"], label: "3" },
      { key: "b.jpg", image: join(root, "jsonl/b.jpg"), texts: ["b\u2028c"] },
    ]);
    expect(problems.map((problem) => problem.path.split(":").at(-1))).toEqual(["2", "3", "6", "7"]);
  });

  it("reports text that is no UTF-8", async () => {
    const latin1 = Buffer.concat([
      Buffer.from("image,text\na.jpg,caf"),
      Buffer.from([0xe9]),
      Buffer.from("\nb.jpg,tea\n"),
    ]);
    const { records, problems } = await readAll(put("csv/latin1.csv", latin1));
    expect(records.map((record) => record.key)).toEqual(["b.jpg"]);
    expect(problems[0].error.message).toMatch(/:2: "text" must be UTF-8/);
  });
});

describe("packed images", () => {
  const images = Buffer.from("FIRSTsecond");
  const rows =
    '{"file": "1.jpg", "offset": 0, "length": 5, "label": "tree_frog"}\n{"file": "2.jpg", "offset": 5, "length": 6, "caption": "c"}\n{"file": "3.jpg", "offset": 8, "length": 6, "caption": "past the end"}\n';

  it.each(["train.jpegs.bin", "train.jpegs.bin.gz"])("finds and reads %s", async (name) => {
    const folder = name.endsWith("gz") ? "packed-gz" : "packed";
    put(`${folder}/${name}`, name.endsWith("gz") ? gzipSync(images) : images);
    put(`${folder}/val.jpegs.bin`, "other");
    const { format, records, problems } = await readAll(put(`${folder}/train.jsonl`, rows));
    expect(format).toBe("packed");
    expect(records.map(({ image, ...rest }) => [Buffer.from(image as Uint8Array).toString(), rest])).toEqual([
      ["FIRST", { key: "1.jpg", texts: ["tree frog"], label: "tree_frog" }],
      ["second", { key: "2.jpg", texts: ["c"] }],
    ]);
    expect(problems).toMatchObject([{ error: { code: "corrupt" } }]);
  });

  it("says what is missing when there is no packed file", async () => {
    await expect(readAll(put("unpacked/rows.jsonl", rows))).rejects.toThrow(/must have a \.bin or \.bin\.gz beside it/);
  });
});

describe("webdataset", () => {
  const sample = (key: string): [string, string][] => [
    [`${key}.jpg`, `image ${key}`],
    [`${key}.txt`, ` caption ${key}\n`],
  ];

  it("groups members by name, from several tars", async () => {
    await tar("wds/0.tar", [
      ...sample("a/000"),
      ["a/001.json", '{"caption": "from json", "label": "owl"}'],
      ["a/001.png", "image 001"],
      ["README", "skipped"],
      ["a/002.txt", "no image"],
      ["a/003.jpg", "image 003"],
      ["a/003.json", "{broken"],
    ]);
    await tar("wds/1.tar", [
      ["004.webp", "image 004"],
      ["004.cls", "12"],
    ]);
    const { format, records, problems } = await readAll(join(root, "wds"));
    expect(format).toBe("webdataset");
    expect(records.map(({ image, ...rest }) => [Buffer.from(image as Uint8Array).toString(), rest])).toEqual([
      ["image a/000", { key: "a/000", texts: ["caption a/000"] }],
      ["image 001", { key: "a/001", texts: ["from json"], label: "owl" }],
      ["image 004", { key: "004", texts: ["12"], label: "12" }],
    ]);
    expect(problems.map((problem) => problem.error.message)).toEqual([
      expect.stringMatching(/0\.tar:a\/002: must have an image, got txt/),
      expect.stringMatching(/0\.tar:a\/003: json must be one JSON object/),
    ]);
  });

  it("keeps whole samples of a truncated tar and goes on to the next", async () => {
    const cut = await tar("cut/0.tar", [...sample("a"), ...sample("b"), ["c.jpg", "c".repeat(5000)], ["c.txt", "c"]]);
    truncateSync(cut, 4 * 1024 + 2500);
    await tar("cut/1.tar", sample("d"));
    const { records, problems } = await readAll(join(root, "cut"));
    expect(records.map((record) => record.key)).toEqual(["a", "d"]);
    expect(problems).toMatchObject([{ path: cut, error: { code: "corrupt" } }]);
  });
});

describe("COCO captions", () => {
  it("joins captions to images in COCO's layout", async () => {
    put("coco/val2017/1.jpg");
    const path = put(
      "coco/annotations/captions_val2017.json",
      JSON.stringify({
        images: [
          { id: 1, file_name: "1.jpg" },
          { id: 2, file_name: "2.jpg" },
        ],
        annotations: [
          { image_id: 1, caption: "a " },
          { image_id: 1, caption: "b" },
          { image_id: 9, caption: "c" },
        ],
      }),
    );
    const { records, problems } = await readAll(path);
    expect(records).toEqual([{ key: "1.jpg", image: join(root, "coco/val2017/1.jpg"), texts: ["a", "b"] }]);
    expect(problems.map((problem) => problem.error.message)).toEqual([
      expect.stringMatching(/image 9: must be listed/),
      expect.stringMatching(/2\.jpg: must have a caption/),
    ]);
    await expect(readAll(put("coco/boxes.json", '{"images": []}'))).rejects.toThrow(/must be COCO captions/);
    await expect(readAll(put("coco/half.json", '{"images": ['))).rejects.toMatchObject({ code: "corrupt" });
  });
});

describe("openDataset explains what it cannot open", () => {
  it("for missing, empty, ambiguous, split, prepared and unknown paths", async () => {
    await expect(openDataset(join(root, "absent"))).rejects.toMatchObject({ code: "not-found" });
    mkdirSync(join(root, "nothing"));
    await expect(openDataset(join(root, "nothing"))).rejects.toMatchObject({ code: "empty" });
    put("two/a.csv");
    put("two/b.csv");
    await expect(openDataset(join(root, "two"))).rejects.toThrow(/must hold one table, got a\.csv, b\.csv/);
    put("splits/train/cat/1.jpg");
    put("splits/val/cat/2.jpg");
    await expect(openDataset(join(root, "splits"))).rejects.toThrow(/Name one of .*splits\/train/);
    put("shard/images.bin");
    put("shard/rows.jsonl");
    await expect(openDataset(join(root, "shard"))).rejects.toThrow(/prepared shards/);
    put("texts/some/note.txt");
    await expect(openDataset(join(root, "texts"))).rejects.toMatchObject({ code: "unsupported" });
    await expect(openDataset(put("sheet.xlsx"))).rejects.toThrow(/must be a folder with one subfolder a class/);
  });
});

const shared = new URL("../../../../shared/data/", import.meta.url).pathname;
const hasShared = existsSync(shared);
if (!hasShared) console.info(`open-dataset.test: ${shared} is absent, its sets are not read`);

describe.skipIf(!hasShared)("the prepared sets", () => {
  let first: DatasetRecord;
  beforeAll(async () => {
    const dataset = await openDataset(join(shared, "fashion-products"));
    for await (const record of dataset.records()) {
      first = record;
      break;
    }
  });

  it("reads a packed set and a captioned one", async () => {
    expect(first).toMatchObject({ key: "14453.jpg", texts: ["Enroute Women Casual Black Flats"], label: "Heels" });
    expect([...(first.image as Uint8Array).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
    const { format, records, problems } = await readAll(join(shared, "flickr8k-1000"));
    expect([format, records.length, problems.length]).toEqual(["jsonl", 1000, 0]);
    expect(records.every(({ texts, image }) => texts.length === 5 && existsSync(image as string))).toBe(true);
  });
});
