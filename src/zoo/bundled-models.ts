import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readSafetensorsHeader } from "../io/safetensors.ts";
import { weightFilesOf } from "./checkpoint-choice.ts";
import { isIndexFile } from "./checkpoint-files.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { formatOf } from "./checkpoint-formats.ts";
import { openClip } from "./open-clip.ts";

/** What a checkpoint folder says of itself, read without loading its weights. */
export interface ModelDescription {
  readonly name: string;
  readonly folder: string;
  /** Numbers in the weights; left out where only PyTorch's files have them. */
  readonly parameters?: number;
  /** Size of the weights. */
  readonly bytes: number;
  /**
   * The content of config.json, or of open_clip_config.json where that layout is read; the main facts of UniCL's YAML;
   * left out for OpenAI's files, which come without a configuration.
   */
  readonly config?: Readonly<Record<string, unknown>>;
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
  const opened = await CheckpointFolder.open(folder);
  const weights = await weightFilesOf(opened);
  let [parameters, bytes]: [number | undefined, number] = [0, 0];
  for (const file of weights.filter((each) => !isIndexFile(each))) {
    const path = join(folder, file);
    bytes += (await stat(path)).size;
    if (parameters === undefined || !file.endsWith(".safetensors")) parameters = undefined;
    else for (const { count } of (await readSafetensorsHeader(path)).entries) parameters += count;
  }
  const config = await configOf(opened);
  return {
    name,
    folder,
    ...(parameters === undefined ? {} : { parameters }),
    bytes,
    ...(config && { config }),
    card: cardFacts(await readFile(join(folder, "README.md"), "utf8").catch(() => "")),
  };
}

async function configOf(folder: CheckpointFolder): Promise<Readonly<Record<string, unknown>> | undefined> {
  const format = await formatOf(folder);
  if (format?.describe) return format.describe(folder);
  const isOpenClip = format === openClip;
  return folder.parse(isOpenClip ? "open_clip_config.json" : "config.json", z.record(z.string(), z.unknown()));
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

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
