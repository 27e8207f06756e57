import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { crc32c, TensorBoardWriter, tfRecord } from "./tensorboard.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-tensorboard-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** The payloads of a file of TFRecords, with every checksum recomputed. */
function records(file: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const content = file.subarray(at + 12, at + 12 + length);
    expect(file.subarray(at, at + 16 + length)).toEqual(Buffer.from(tfRecord(content)));
    found.push(content);
    at += 16 + length;
  }
  return found;
}

describe("crc32c", () => {
  it("gives the published check values", () => {
    expect(crc32c(new TextEncoder().encode("123456789")).toString(16)).toBe("e3069283");
    expect(crc32c(new Uint8Array(32)).toString(16)).toBe("8a9136aa"); // RFC 3720, B.4
    expect(crc32c(new Uint8Array(32).fill(255)).toString(16)).toBe("62a8ab43");
  });
});

describe("TensorBoardWriter", () => {
  it("writes the bytes of the protobuf schema", async () => {
    const writer = new TensorBoardWriter(folder, 0, () => 1.5);
    writer.scalars(300, { a: 0.5 });
    writer.close();
    expect(basename(writer.path)).toBe("events.out.tfevents.0000000001.florence.0");
    const [version, scalars, ...rest] = records(await readFile(writer.path));
    const wallTime = "09000000000000f83f"; // field 1, double 1.5
    expect(version.toString("hex")).toBe(`${wallTime}10001a0d${Buffer.from("brain.Event:2").toString("hex")}`);
    const summary = ["2a0a", "0a08", "0a0161", "150000003f"].join(""); // { value { tag "a", simple_value 0.5 } }
    expect(scalars.toString("hex")).toBe(`${wallTime}10ac02${summary}`);
    expect(rest).toEqual([]);
  });

  it("marks a resumed session, and never writes into another session's file", async () => {
    const first = new TensorBoardWriter(folder, 0, () => 9);
    const resumed = new TensorBoardWriter(folder, 10, () => 9);
    first.close();
    resumed.close();
    expect(resumed.path).not.toBe(first.path);
    const [, start] = records(await readFile(resumed.path));
    expect(start.subarray(9).toString("hex")).toBe("100b3a020801"); // step 11, session log { START }
  });
});
