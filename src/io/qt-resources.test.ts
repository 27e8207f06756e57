import { deflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readQtResources } from "./qt-resources.ts";

interface Entry {
  readonly name: string;
  readonly children?: readonly Entry[];
  readonly content?: string;
  readonly isPacked?: boolean;
}

/** Writes an archive as Qt's resource compiler does: nodes level by level, names with hashes, data with lengths. */
function writeArchive(root: readonly Entry[], version: number): Buffer {
  const names: Buffer[] = [];
  const contents: Buffer[] = [];
  const nodes: Buffer[] = [];
  const queue: Entry[] = [{ name: "", children: root }];
  const lengthOf = (pieces: readonly Buffer[]): number => pieces.reduce((sum, piece) => sum + piece.length, 0);
  for (let next = 0; next < queue.length; next++) {
    const { name, children, content = "", isPacked = false } = queue[next];
    const node = Buffer.alloc(version === 1 ? 14 : 22);
    if (name !== "") {
      node.writeUInt32BE(lengthOf(names), 0);
      const hash = [...name].reduce((sum, letter) => {
        const moved = (sum * 16 + letter.charCodeAt(0)) % 2 ** 32;
        return (moved ^ (Math.floor(moved / 2 ** 28) * 2 ** 5)) & 0x0fffffff;
      }, 0);
      const head = Buffer.alloc(6);
      head.writeUInt16BE(name.length, 0);
      head.writeUInt32BE(hash, 2);
      names.push(head, Buffer.from(name, "utf16le").swap16());
    }
    if (children) {
      node.writeUInt16BE(2, 4);
      node.writeUInt32BE(children.length, 6);
      node.writeUInt32BE(queue.length, 10);
      queue.push(...children);
    } else {
      node.writeUInt16BE(isPacked ? 1 : 0, 4);
      node.writeUInt32BE(lengthOf(contents), 10);
      const plain = Buffer.from(content);
      const size = Buffer.alloc(4);
      size.writeUInt32BE(plain.length);
      const stored = isPacked ? Buffer.concat([size, deflateSync(plain)]) : plain;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(stored.length);
      contents.push(length, stored);
    }
    nodes.push(node);
  }
  const header = Buffer.alloc(version === 3 ? 24 : 20);
  header.write("qres", "latin1");
  const [data, named] = [Buffer.concat(contents), Buffer.concat(names)];
  header.writeUInt32BE(version, 4);
  header.writeUInt32BE(header.length + data.length + named.length, 8);
  header.writeUInt32BE(header.length, 12);
  header.writeUInt32BE(header.length + data.length, 16);
  return Buffer.concat([header, data, named, ...nodes]);
}

const tree: readonly Entry[] = [
  {
    name: "gcompris",
    children: [{ name: "Übung", children: [{ name: "a.qml", content: "x".repeat(500), isPacked: true }] }],
  },
  { name: "leer.txt", content: "" },
  { name: "a rather long name with many letters.webp", content: "bytes" },
];

describe("readQtResources", () => {
  it.each([1, 2, 3])("reads folders, packed and plain files of version %i", (version) => {
    const files = readQtResources(writeArchive(tree, version), "a.rcc");
    expect(files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
      ["/gcompris/Übung/a.qml", "x".repeat(500)],
      ["/leer.txt", ""],
      ["/a rather long name with many letters.webp", "bytes"],
    ]);
  });

  it("refuses other files and versions", () => {
    expect(() => readQtResources(Buffer.from("PK"), "a.rcc")).toThrow(/a\.rcc: must be a whole Qt resource archive/);
    expect(() => readQtResources(writeArchive(tree, 4), "a.rcc")).toThrow(/version 1 to 3, got 4/);
  });

  it("finds every cut, and never returns a file that is not whole", () => {
    const whole = writeArchive(tree, 3);
    for (let length = 0; length < whole.length; length++) {
      expect(() => readQtResources(whole.subarray(0, length), "a.rcc")).toThrow(/must be/);
    }
  });

  it("finds damaged names, packed data and folders that hold themselves", () => {
    const damage = (change: (bytes: Buffer) => void): (() => unknown) => {
      const bytes = writeArchive(tree, 3);
      change(bytes);
      return () => readQtResources(bytes, "a.rcc");
    };
    const names = (bytes: Buffer): number => bytes.readUInt32BE(16);
    const nodes = (bytes: Buffer): number => bytes.readUInt32BE(8);
    expect(damage((bytes) => bytes.writeUInt8(bytes[names(bytes) + 7] ^ 1, names(bytes) + 7))).toThrow(
      /a name with its hash/,
    );
    // The packed file comes last: the files of the upper folder are written before those of a lower one.
    const packed = (bytes: Buffer): number => bytes.indexOf(deflateSync(Buffer.from("x".repeat(500))));
    expect(damage((bytes) => bytes.writeUInt8(bytes[packed(bytes) + 4] ^ 255, packed(bytes) + 4))).toThrow(/a\.qml/);
    expect(damage((bytes) => bytes.writeUInt32BE(499, packed(bytes) - 4))).toThrow(/499 bytes for .*a\.qml/);
    expect(damage((bytes) => bytes.writeUInt32BE(0, nodes(bytes) + 22 + 10))).toThrow(/each node once/);
  });
});
