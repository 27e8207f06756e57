import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { UserError } from "../core/errors.ts";

const run = promisify(execFile);

/** A public package of a fixed version whose bytes are known. */
export interface PackageReference {
  readonly registry: "npm" | "debian";
  readonly name: string;
  readonly version: string;
  /** SHA-256 of the package file, hexadecimal. */
  readonly sha256: string;
}

/** A package file in the cache, checked. */
export interface FetchedPackage {
  readonly reference: PackageReference;
  readonly path: string;
}

/** A file inside a package. */
export interface PackageEntry {
  readonly path: string; // without a leading "./"; npm's leading "package/" is dropped too
  readonly bytes: Buffer;
}

/**
 * Brings a package into `folder` with the ordinary client of its registry, as this machine is set up, unless it is
 * there already; its checksum is compared in both cases.
 *
 * @throws UserError `network` when the client fails, `mismatch` when the bytes are not the expected ones
 */
export async function fetchPackage(reference: PackageReference, folder: string): Promise<FetchedPackage> {
  const path = join(folder, packageFileName(reference));
  if (!existsSync(path)) {
    await mkdir(folder, { recursive: true });
    const temporary = await mkdtemp(join(folder, ".download-"));
    try {
      await download(reference, temporary);
      const [file] = (await readdir(temporary)).filter((name) => /\.(tgz|deb)$/.test(name));
      if (file === undefined) throw new UserError("network", `${titleOf(reference)}: the client brought no file.`);
      await rename(join(temporary, file), path);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
  const sha256 = await sha256OfFile(path);
  if (sha256 !== reference.sha256) {
    throw new UserError(
      "mismatch",
      `${path}: SHA-256 must be ${reference.sha256}, got ${sha256}. Delete the file and fetch it again.`,
    );
  }
  return { reference, path };
}

/** The files of a fetched package whose path `wants` accepts, one at a time, in the order of the archive. */
export async function* packageEntries(
  { reference, path }: FetchedPackage,
  wants: (path: string) => boolean,
): AsyncGenerator<PackageEntry> {
  const { stream, finished } = openArchive(reference, path);
  finished.catch(() => undefined); // awaited at the end of the loop below, if that is reached
  const archive = extract();
  const feeding = pipeline(stream, archive);
  feeding.catch(() => undefined); // the same error ends the loop below
  try {
    for await (const entry of archive) {
      const name = entry.header.name.replace(/^\.\//, "").replace(reference.registry === "npm" ? /^[^/]+\// : "", "");
      if (entry.header.type !== "file" || !wants(name)) {
        entry.resume();
        continue;
      }
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      yield { path: name, bytes: Buffer.concat(chunks) };
    }
    await Promise.all([feeding, finished]);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("corrupt", `${path}: must be an archive that unpacks. Delete it and fetch it again.`, {
      cause: error,
    });
  } finally {
    stream.destroy();
  }
}

/** One file of a package. @throws UserError `corrupt` when it is not there */
export async function readPackageFile(fetched: FetchedPackage, path: string): Promise<Buffer> {
  for await (const entry of packageEntries(fetched, (name) => name === path)) return entry.bytes;
  throw new UserError("corrupt", `${fetched.path}: must contain ${path}, got none. Delete it and fetch it again.`);
}

/** SHA-256 of a file, hexadecimal. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** "npm emojibase-data 17.0.0": how manifests and messages name a package. */
export function titleOf({ registry, name, version }: PackageReference): string {
  return `${registry === "npm" ? "npm" : "Debian"} ${name} ${version}`;
}

function packageFileName({ registry, name, version }: PackageReference): string {
  const safe = `${name}-${version}`.replace(/^@/, "").replaceAll(/[/:]/g, "-");
  return registry === "npm" ? `npm-${safe}.tgz` : `debian-${safe}.deb`;
}

async function download(reference: PackageReference, folder: string): Promise<void> {
  const { registry, name, version } = reference;
  const [program, ...parameters] =
    registry === "npm"
      ? ["npm", "pack", `${name}@${version}`, "--silent", "--pack-destination", folder]
      : ["apt-get", "download", `${name}=${version}`];
  try {
    // npm checks the registry's SHA-512 itself, apt the signed index's SHA-256; ours comes on top.
    await run(program, parameters, { cwd: folder, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const remedy = missing
      ? `It needs the program ${program}, which is not here.`
      : registry === "npm"
        ? "Check the network and npm's registry setting."
        : "Check the network and run `apt-get update`; other Debian releases may carry another version.";
    throw new UserError("network", `${titleOf(reference)}: the download failed. ${remedy}`, { cause: error });
  }
}

function openArchive(reference: PackageReference, path: string): { stream: Readable; finished: Promise<void> } {
  if (reference.registry === "npm") {
    const gunzip = createGunzip();
    return { stream: gunzip, finished: pipeline(createReadStream(path), gunzip) };
  }
  const child = spawn("dpkg-deb", ["--fsys-tarfile", path], { stdio: ["ignore", "pipe", "ignore"] });
  const finished = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) =>
      reject(
        new UserError("unsupported", "dpkg-deb: it is needed to unpack Debian packages. Install dpkg.", { cause }),
      ),
    );
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`dpkg-deb ended with ${code}`))));
  });
  return { stream: child.stdout, finished };
}
