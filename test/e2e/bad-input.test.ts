import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rng } from "../../src/core/rng.ts";
import { jsonLines, runFlorence, writePicture } from "./run-florence.ts";
import { toyModel } from "./toy-model.ts";

/** 200 files that must fail and 40 that must not, mixed in one folder. */

const seed = 20;
const badCount = 200;
const goodCount = 40;
const isRoot = process.getuid?.() === 0; // root reads everything, so nothing is unreadable to it

let folder: string;
let photos: string;
const badPaths: string[] = [];
const goodPaths: string[] = [];
const expectedCodes = new Map<string, readonly string[]>();

type Maker = (path: string, rng: Rng) => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-bad-input-"));
  photos = join(folder, "photos");
  await mkdir(photos);
  const rng = new Rng(seed);
  const noise = Buffer.from(Uint8Array.from({ length: 64 * 48 * 3 }, () => rng.int(256)));
  const picture = sharp(noise, { raw: { width: 64, height: 48, channels: 3 } });
  const whole = {
    jpg: await picture.clone().jpeg().toBuffer(),
    png: await picture.clone().png().toBuffer(),
    webp: await picture.clone().webp().toBuffer(),
  };
  const endings = Object.keys(whole) as (keyof typeof whole)[];

  const kinds: { name: string; codes: string[]; make: Maker }[] = [
    { name: "empty.jpg", codes: ["empty"], make: (path) => writeFile(path, "") },
    ...endings.map((ending) => ({
      name: `truncated.${ending}`,
      codes: ["corrupt", "unsupported"],
      make: (path: string, local: Rng) => {
        // From one byte to four fifths of the picture.
        const length = 1 + local.int(Math.floor(0.8 * whole[ending].length));
        return writeFile(path, whole[ending].subarray(0, length));
      },
    })),
    {
      name: "scrambled.png",
      codes: ["corrupt", "unsupported"],
      make: (path, local) => {
        const bytes = Buffer.from(whole.png);
        for (let i = 0; i < 40; i++) bytes[8 + local.int(bytes.length - 8)] ^= 1 + local.int(255);
        return writeFile(path, bytes);
      },
    },
    {
      name: "noise.jpg",
      codes: ["corrupt", "unsupported"],
      make: (path, local) =>
        writeFile(
          path,
          Uint8Array.from({ length: 1 + local.int(5000) }, () => local.int(256)),
        ),
    },
    { name: "text.jpg", codes: ["unsupported"], make: (path) => writeFile(path, "Dear Sir or Madam,\n".repeat(50)) },
    { name: "page.png", codes: ["unsupported"], make: (path) => writeFile(path, "<!doctype html><p>404</p>") },
    {
      name: "program.gif",
      codes: ["unsupported"],
      make: (path) => writeFile(path, Buffer.from("7f454c4602010100", "hex")),
    },
    {
      name: "zip.webp",
      codes: ["unsupported"],
      make: (path) => writeFile(path, Buffer.from("504b0506".padEnd(44, "0"), "hex")),
    },
    { name: "huge.png", codes: ["too-large"], make: (path) => writeFile(path, hugePngHeader(whole.png)) },
    { name: "bitmap.bmp", codes: ["unsupported"], make: (path) => writeFile(path, tinyBitmap()) },
    { name: "dangling.jpg", codes: ["not-found"], make: (path) => symlink("nowhere", path) },
    { name: "self.jpg", codes: ["unreadable"], make: (path) => symlink(path, path) },
    {
      name: "odd-size.png", // refused by the model, not by the decoder
      codes: ["unsupported"],
      make: (path) => writePicture(path, "red", 7, 7),
    },
  ];
  if (process.platform !== "win32") {
    kinds.push({ name: "pipe.jpg", codes: ["unsupported"], make: async (path) => void execFileSync("mkfifo", [path]) });
  }
  if (!isRoot) {
    kinds.push({
      name: "locked.jpg",
      codes: ["unreadable"],
      make: async (path) => {
        await writeFile(path, whole.jpg);
        await chmod(path, 0o000);
      },
    });
  }

  for (let i = 0; i < badCount; i++) {
    const { name, codes, make } = kinds[i % kinds.length];
    const path = join(photos, `${String(i).padStart(3, "0")}-${name}`);
    await make(path, rng.fork(i));
    badPaths.push(path);
    expectedCodes.set(path, codes);
  }
  for (let i = 0; i < goodCount; i++) {
    const path = join(photos, `${String(i * 5).padStart(3, "0")}-good.${endings[i % endings.length]}`);
    await writePicture(path, ["red", "lime", "blue"][i % 3], 20 + i, 16);
    goodPaths.push(path);
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(...words: string[]) {
  return runFlorence(words, { loadModel: async () => toyModel(), cacheFolder: join(folder, "cache") });
}

describe("200 bad files among 40 good ones", () => {
  it("classify --json: one record each, the right code, the good ones right, in order", async () => {
    const { exitCode, stdout } = await run("classify", photos, "--labels", "red,green,blue", "--json");
    const lines = jsonLines(stdout) as {
      path: string;
      error?: { code: string; message: string };
      predictions?: { label: string }[];
    }[];
    expect(lines.map(({ path }) => path)).toEqual([...badPaths, ...goodPaths].sort());
    for (const { path, error, predictions } of lines) {
      const codes = expectedCodes.get(path);
      if (codes) {
        expect(predictions).toBeUndefined();
        expect(codes, `${path}: ${error?.message}`).toContain(error?.code);
        expect(error?.message).toContain(path);
        expect(error?.message).not.toMatch(/\n/);
      } else {
        expect(error).toBeUndefined();
        expect(predictions?.[0].label).toBe(["red", "green", "blue"][goodPaths.indexOf(path) % 3]);
      }
    }
    expect(exitCode).toBe(3);
  });

  it("classify for humans: the good ones on stdout, one line naming each bad one on stderr", async () => {
    const { exitCode, stdout, stderr } = await run("classify", photos, "--labels", "red,green,blue");
    expect(stdout.trimEnd().split("\n")).toHaveLength(goodCount);
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(badCount + 1);
    badPaths.forEach((path) => {
      expect(lines.filter((line) => line.startsWith(path))).toHaveLength(1);
    });
    expect(lines.at(-1)).toBe(`classify: ${badCount} of ${badCount + goodCount} inputs failed.`);
    expect(exitCode).toBe(3);
  });

  it("embed and search likewise", async () => {
    const embedded = await run("embed", photos, "--json");
    expect(jsonLines(embedded.stdout).filter((line) => "embedding" in line)).toHaveLength(goodCount);
    expect(jsonLines(embedded.stdout).filter((line) => "error" in line)).toHaveLength(badCount);
    expect(embedded.exitCode).toBe(3);
    const found = await run("search", photos, "blue", "--json", "--top", "1000");
    expect(jsonLines(found.stdout).filter((line) => "score" in line)).toHaveLength(goodCount);
    expect(jsonLines(found.stdout).filter((line) => "error" in line)).toHaveLength(badCount);
    expect(found.exitCode).toBe(3);
  });

  it("answers 4 when only bad files are named", async () => {
    const { exitCode, stdout } = await run("classify", ...badPaths.slice(0, 20), "--labels", "a,b", "--json");
    expect(jsonLines(stdout)).toHaveLength(20);
    expect(exitCode).toBe(4);
  });
});

/** A PNG whose header claims 60,000 × 60,000 pixels. */
function hugePngHeader(png: Buffer): Buffer {
  const bytes = Buffer.from(png);
  bytes.writeUInt32BE(60_000, 16);
  bytes.writeUInt32BE(60_000, 20);
  bytes.writeInt32BE(crc(bytes.subarray(12, 29)), 29);
  return bytes;
}

function crc(bytes: Uint8Array): number {
  let value = -1;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value;
}

/** A valid 1 × 1 Windows bitmap: a picture, but of a format that is not read. */
function tinyBitmap(): Buffer {
  const bytes = Buffer.alloc(58);
  bytes.write("BM");
  for (const [i, value] of [58, 0, 54, 40, 1, 1].entries()) bytes.writeUInt32LE(value, 2 + 4 * i);
  bytes.writeUInt16LE(1, 26);
  bytes.writeUInt16LE(24, 28);
  return bytes;
}
