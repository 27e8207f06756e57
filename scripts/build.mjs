// Compiles src/ into dist/. With --if-stale, only when a source has changed since the last time.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, run } from "./ensure-install.mjs";

const dist = join(root, "dist");
const stampPath = join(dist, ".sources");

/** Compiles, unless `ifStale` is set and dist/ is up to date. */
export function build({ ifStale = false } = {}) {
  const sources = fingerprintOfSources();
  if (ifStale && existsSync(stampPath) && readFileSync(stampPath, "utf8") === sources) return;
  console.error("Compiling …");
  rmSync(dist, { recursive: true, force: true }); // files of deleted sources must not linger
  run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json"]);
  mkdirSync(dist, { recursive: true });
  writeFileSync(stampPath, sources);
}

/** A hash over the contents of everything that the compiler reads. */
function fingerprintOfSources() {
  const hash = createHash("sha256");
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((path) => join("src", path))
    .filter((path) => statSync(join(root, path)).isFile());
  for (const path of ["tsconfig.json", "tsconfig.build.json", "package-lock.json", ...sources.sort()]) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update("\0");
  }
  return hash.digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    build({ ifStale: process.argv.includes("--if-stale") });
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
