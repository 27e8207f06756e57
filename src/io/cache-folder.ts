import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The folder for everything that can be made again: `FLORENCE_CACHE`, or `~/.cache/florence`. */
export function cacheFolderFrom(environment: Readonly<Record<string, string | undefined>>): string {
  const chosen = environment.FLORENCE_CACHE;
  return chosen ? resolve(chosen) : join(homedir(), ".cache", "florence");
}
