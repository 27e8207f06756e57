import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { defaultThreads } from "../runtime/default-threads.ts";

/** Each check returns a line of facts, or throws an error whose message says what is wrong. */

const oldestNode = [20, 19] as const;
const leastFreeBytes = 2 ** 29;

/** The version of Node.js. */
export function checkNode(): string {
  const { node } = process.versions;
  const [major, minor] = node.split(".").map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    throw new Error(`${node} is older than ${oldestNode.join(".")}. Install a newer Node.js.`);
  }
  return `${node} on ${process.platform} ${process.arch}`;
}

/** ONNX Runtime's version and execution providers. */
export async function checkRuntime(): Promise<string> {
  const runtime = await import("onnxruntime-node");
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string };
  const providers = runtime.listSupportedBackends().map(({ name }) => name);
  return `${version}, providers ${providers.join(", ")}`;
}

/** The picture decoder's version and what it reads. */
export async function checkSharp(): Promise<string> {
  const { default: sharp } = await import("sharp");
  const readable = Object.values(sharp.format)
    .filter(({ input }) => input.file)
    .map(({ id }) => id);
  return `${sharp.versions.sharp}, libvips ${sharp.versions.vips}, reads ${readable.join(" ")}`;
}

/** How many threads may run at once. */
export function checkThreads(): string {
  const own = defaultThreads();
  return `${availableParallelism()} available${own === undefined ? "" : `, ${own} a session as FLORENCE_THREADS says`}`;
}

/** Free and total memory. */
export function checkMemory(): string {
  const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const facts = `${gibibytes(freemem())} free of ${gibibytes(totalmem())}`;
  if (freemem() < leastFreeBytes) throw new Error(`${facts}: at least 0.5 GiB should be free. Close other programs.`);
  return facts;
}

/** Whether the cache folder can be written and read back. */
export async function checkCache(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `.doctor-${randomBytes(6).toString("hex")}`);
  try {
    await writeFile(path, "written");
    if ((await readFile(path, "utf8")) !== "written")
      throw new Error(`${folder}: what was written reads back otherwise`);
  } finally {
    await rm(path, { force: true });
  }
  return `${folder} can be written`;
}
