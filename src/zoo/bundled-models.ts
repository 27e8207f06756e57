import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { readSafetensorsHeader } from "../io/safetensors.ts";
import { readUtf8 } from "../io/text-files.ts";
import { weightFiles } from "./checkpoint-files.ts";

/** What a checkpoint folder says of itself, read without loading its weights. */
export interface ModelDescription {
  readonly name: string;
  readonly folder: string;
  /** Numbers in the weights; left out where only PyTorch's files have them. */
  readonly parameters?: number;
  /** Size of the weights. */
  readonly bytes: number;
  /** The content of config.json, or of open_clip_config.json where that is the only one. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The `key: value` lines that open the model card, README.md. */
  readonly card: Readonly<Record<string, string>>;
}

/** Names of the models that come with the package: the folders of `weightsFolder` that hold a config.json, sorted. */
export async function bundledModelNames(weightsFolder: string): Promise<string[]> {
  const names: string[] = [];
  const entries = await readdir(weightsFolder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory() && (await isFile(join(weightsFolder, entry.name, "config.json")))) names.push(entry.name);
  }
  return names.sort();
}

/**
 * Describes a checkpoint folder.
 *
 * @throws UserError naming the file that is missing or damaged
 */
export async function describeModel(name: string, folder: string): Promise<ModelDescription> {
  const names = new Set(await filesIn(folder));
  const weights = await weightFiles(folder, names, (file) => readUtf8(join(folder, file)));
  let [parameters, bytes]: [number | undefined, number] = [0, 0];
  for (const file of weights.filter((each) => !each.endsWith(".json"))) {
    const path = join(folder, file);
    bytes += (await stat(path)).size;
    if (parameters === undefined || !file.endsWith(".safetensors")) parameters = undefined;
    else for (const { count } of (await readSafetensorsHeader(path)).entries) parameters += count;
  }
  const hasConfig = names.has("config.json") || !names.has("open_clip_config.json");
  return {
    name,
    folder,
    ...(parameters === undefined ? {} : { parameters }),
    bytes,
    config: await readConfig(join(folder, hasConfig ? "config.json" : "open_clip_config.json")),
    card: cardFacts(await readFile(join(folder, "README.md"), "utf8").catch(() => "")),
  };
}

/** The flat `key: value` lines between the `---` marks that open a model card. */
export function cardFacts(markdown: string): Record<string, string> {
  const block = /^---\r?\n([\s\S]*?)\r?\n---/.exec(markdown)?.[1] ?? "";
  const facts: Record<string, string> = {};
  for (const line of block.split(/\r?\n/)) {
    const match = /^([A-Za-z][\w -]*):\s+(.+)$/.exec(line);
    if (match) facts[match[1]] = match[2].trim().replace(/^(["'])(.*)\1$/, "$2");
  }
  return facts;
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw fileError(path, error);
  }
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === "object" && config !== null && !Array.isArray(config))
      return config as Record<string, unknown>;
  } catch (error) {
    throw new UserError("corrupt", `${path}: must be JSON, got other text. Restore the file.`, { cause: error });
  }
  throw new UserError("corrupt", `${path}: must hold a JSON object. Restore the file.`);
}

async function filesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    throw fileError(folder, error);
  });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
