// Installs the dependencies when they are missing or not those of package-lock.json. Runs before anything is installed,
// so it imports nothing but Node's own modules.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a program with this process's terminal; throws when it fails. */
export function run(command, words, options = {}) {
  const { status, signal, error } = spawnSync(command, words, { cwd: root, stdio: "inherit", ...options });
  if (error) throw error;
  if (status !== 0) throw new Error(`${[command, ...words].join(" ")}: ended with ${signal ?? `exit code ${status}`}`);
}

/** Runs npm: the one that runs us, or the one on the path. */
export function runNpm(...words) {
  const running = process.env.npm_execpath;
  if (running?.endsWith("npm-cli.js")) run(process.execPath, [running, ...words]);
  else run("npm", words, { shell: process.platform === "win32" });
}

/** Whether node_modules holds every package of the lock file in the locked version. */
export function isInstalled() {
  const installedPath = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedPath)) return false;
  const installed = JSON.parse(readFileSync(installedPath, "utf8")).packages;
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return Object.entries(locked).every(
    // Optional packages are for some platforms only: absent is fine, another version is not.
    ([path, { version, optional }]) => path === "" || (installed[path]?.version ?? (optional && version)) === version,
  );
}

/** Installs if need be. */
export function ensureInstalled() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Node.js: version 20.19 or newer is needed, got ${process.versions.node}. Install a newer one.`);
  }
  if (isInstalled()) return;
  console.error("Installing dependencies (npm ci) …");
  runNpm("ci");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    ensureInstalled();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
