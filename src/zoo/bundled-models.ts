import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../core/errors.ts";
import { fileError } from "../io/file-errors.ts";
import { readSafetensorsHeader } from "../io/safetensors.ts";

/** What a checkpoint folder says of itself, read without loading its weights. */
export interface ModelDescription {
  readonly name: string;
  readonly folder: string;
  /** Numbers in model.safetensors. */
  readonly parameters: number;
  /** Size of model.safetensors. */
  readonly bytes: number;
  /** The content of config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The `key: value` lines that open the model card, README.md. */
  readonly card: Readonly<Record<string, string>>;
}

/** A folder with one of these is taken for a checkpoint. */
const configFiles = ["config.json", "open_clip_config.json"];

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
 * The checkpoint folder that `--model` means: a bundled name, else a path.
 *
 * @throws UserError (not-found) that lists the bundled models
 */
export async function modelFolder(weightsFolder: string, nameOrDirectory: string): Promise<string> {
  for (const folder of [join(weightsFolder, nameOrDirectory), nameOrDirectory]) {
    for (const file of configFiles) if (await isFile(join(folder, file))) return folder;
  }
  const names = await bundledModelNames(weightsFolder);
  const remedy = `Use ${names.length > 0 ? `one of ${names.join(", ")}, or ` : ""}a folder with a ${configFiles.join(" or ")}.`;
  throw new UserError(
    "not-found",
    `Model ${nameOrDirectory}: must be a bundled model or a folder, got neither. ${remedy}`,
  );
}

/**
 * Describes a checkpoint folder.
 *
 * @throws UserError naming the file that is missing or damaged
 */
export async function describeModel(name: string, folder: string): Promise<ModelDescription> {
  const weightsPath = join(folder, "model.safetensors");
  const { entries } = await readSafetensorsHeader(weightsPath);
  return {
    name,
    folder,
    parameters: entries.reduce((sum, { count }) => sum + count, 0),
    bytes: (await stat(weightsPath)).size,
    config: await readConfig(join(folder, "config.json")),
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

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
