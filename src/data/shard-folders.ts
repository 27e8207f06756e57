import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileError } from "../io/file-errors.ts";
import { roleOf, type ShardManifest } from "./shard-format.ts";
import { readShardManifest } from "./shard-reader.ts";

/**
 * The finished sets of a role in a folder of shards, by name; none if it does not exist. Sets whose manifest tells no
 * role are left out.
 *
 * @throws UserError naming a manifest that cannot be read
 */
export function shardFoldersOf(root: string, role: NonNullable<ShardManifest["role"]>): string[] {
  if (!existsSync(root)) return [];
  let names: string[];
  try {
    names = readdirSync(root).sort();
  } catch (error) {
    throw fileError(root, error);
  }
  return names
    .filter((name) => !/\.(partial|old)$/.test(name)) // being written, or replaced
    .map((name) => join(root, name))
    .filter((folder) => existsSync(join(folder, "manifest.json")) && roleOf(readShardManifest(folder)) === role);
}
