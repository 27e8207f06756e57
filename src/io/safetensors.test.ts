import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from "./safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "florence-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function plainFile(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function rawFile(name: string, header: unknown, data: Uint8Array, length?: bigint): string {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([prefix, json, data]));
  return path;
}

describe("safetensors", () => {
  const weights = new Map([
    ["a.weight", { shape: [2, 3], data: Float32Array.of(1, -2, 0.1, 1e-7, 65504, 0.333) }],
    ["empty", { shape: [0, 4], data: new Float32Array(0) }],
    ["scalar", { shape: [], data: Float32Array.of(4.6) }],
  ]);

  it("round-trips float32 exactly, with metadata, in order", async () => {
    const path = join(folder, "nested", "model.safetensors");
    await writeSafetensors(path, weights, { metadata: { step: "12", "name é": "x" } });
    const { tensors, metadata } = await readSafetensors(path);
    expect(metadata).toEqual({ step: "12", "name é": "x" });
    expect([...tensors.keys()]).toEqual(["a.weight", "empty", "scalar"]);
    for (const [name, { shape, data }] of weights) expect(tensors.get(name)).toEqual({ dtype: "F32", shape, data });
    expect(readdirSync(join(folder, "nested"))).toEqual(["model.safetensors"]); // no temporary file stays
  });

  it("stores float16 rounded, and refuses what does not fit", async () => {
    const path = join(folder, "half.safetensors");
    await writeSafetensors(path, weights, { dtype: "F16" });
    const data = (await readSafetensors(path)).tensors.get("a.weight")?.data ?? [];
    expect([...data]).toEqual([1, -2, 0.0999755859375, 2 ** -23, 65504, 0.3330078125]);
    const large = new Map([["w", { shape: [1], data: Float32Array.of(1e6) }]]);
    await expect(writeSafetensors(path, large, { dtype: "F16" })).rejects.toThrow(/"w" must fit float16/);
    expect((await readSafetensors(path)).tensors.size).toBe(3); // the old file is untouched
  });

  it("reads integers, BF16 and F64 as float32", async () => {
    const data = new Uint8Array(28);
    new BigInt64Array(data.buffer, 0, 2).set([7n, -3n]);
    new Float64Array(data.buffer, 16, 1).set([0.5]);
    new Uint16Array(data.buffer, 24, 1).set([0x4000]);
    data.set([1, 0], 26);
    const path = rawFile(
      "mixed.safetensors",
      {
        ids: { dtype: "I64", shape: [2], data_offsets: [0, 16] },
        d: { dtype: "F64", shape: [], data_offsets: [16, 24] },
        b: { dtype: "BF16", shape: [1], data_offsets: [24, 26] },
        m: { dtype: "BOOL", shape: [2], data_offsets: [26, 28] },
      },
      data,
    );
    const { tensors } = await readSafetensors(path);
    expect([...tensors].map(([name, { data: values }]) => [name, ...values])).toEqual([
      ["ids", 7, -3],
      ["d", 0.5],
      ["b", 2],
      ["m", 1, 0],
    ]);
    expect((await readSafetensorsHeader(path)).entries[0]).toMatchObject({ name: "ids", dtype: "I64", count: 2 });
  });

  const entry = (begin: number, end: number, shape = [1], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const bytes = (n: number) => new Uint8Array(n);
  const bad: [string, string, RegExp, () => string][] = [
    [
      "overlap",
      "corrupt",
      /"y" must not overlap/,
      () => rawFile("o", { x: entry(0, 8, [2]), y: entry(4, 8) }, bytes(8)),
    ],
    [
      "out of range",
      "corrupt",
      /"x" must end within 4 data bytes, got 8/,
      () => rawFile("r", { x: entry(0, 8, [2]) }, bytes(4)),
    ],
    ["hole", "corrupt", /bytes 0 to 4 must belong/, () => rawFile("h", { x: entry(4, 8) }, bytes(8))],
    ["trailing bytes", "corrupt", /must cover 9 data bytes, got 4/, () => rawFile("t", { x: entry(0, 4) }, bytes(9))],
    ["wrong size", "corrupt", /must have 12 bytes, got 4/, () => rawFile("s", { x: entry(0, 4, [3]) }, bytes(4))],
    ["negative shape", "corrupt", /whole numbers/, () => rawFile("n", { x: entry(0, 4, [-1]) }, bytes(4))],
    ["reversed offsets", "corrupt", /\[begin, end\]/, () => rawFile("v", { x: entry(4, 0) }, bytes(4))],
    ["unknown dtype", "unsupported", /got F8_E4M3/, () => rawFile("d", { x: entry(0, 1, [1], "F8_E4M3") }, bytes(1))],
    ["broken JSON", "corrupt", /must be JSON/, () => rawFile("j", '{"x":', bytes(4))],
    ["array header", "corrupt", /JSON object/, () => rawFile("l", "[1]", bytes(0))],
    ["huge header", "corrupt", /header must fit/, () => rawFile("u", {}, bytes(0), 2n ** 63n)],
    ["a text file", "corrupt", /header must fit/, () => plainFile("x", "hello, weights")],
    ["four bytes", "corrupt", /no length field/, () => plainFile("4", bytes(4))],
    ["an empty file", "empty", /got 0 bytes/, () => plainFile("0", "")],
    ["a missing file", "not-found", /must exist/, () => join(folder, "missing.safetensors")],
    ["a folder", "unsupported", /folder/, () => folder],
  ];
  it.each(bad)("names the file and the fault: %s", async (_name, code, message, make) => {
    const path = make();
    const error = await readSafetensors(path).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(path);
  });

  it("finds a truncated file", async () => {
    const path = join(folder, "cut.safetensors");
    await writeSafetensors(path, weights);
    truncateSync(path, 200);
    await expect(readSafetensors(path)).rejects.toMatchObject({ code: "corrupt" });
  });
});
