import { join } from "node:path";
import { Argument, type Command, Option } from "commander";
import { UserError } from "../../core/errors.ts";
import { hubReferenceText, hubSettingsFrom, parseHubReference } from "../../io/hub-settings.ts";
import { bundledModelNames, describeModel, type ModelDescription } from "../../zoo/bundled-models.ts";
import { CheckpointFolder } from "../../zoo/checkpoint-folder.ts";
import { formatOf } from "../../zoo/checkpoint-formats.ts";
import { type CachedModel, cachedModels, findModelHere, pullModel } from "../../zoo/model-names.ts";
import { addJsonOption, defineCommand, type JsonOption } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { exitCodes } from "../exit-codes.ts";
import { withDownloadProgress } from "../model-lookup.ts";
import { type MergeOptions, mergeModel } from "../model-merge.ts";

type Action = "list" | "show" | "pull" | "merge";

type ModelsOptions = JsonOption & MergeOptions;

/** `florence models`: what is in weights/ and in the hub's cache, and how more comes there. */
export const modelsCommand = defineCommand<[Action, string | undefined], ModelsOptions>({
  name: "models",
  summary: "List, show, download and merge models",
  details:
    "pull brings a checkpoint of the Hugging Face hub into the cache that its other clients use, goes on where an " +
    "earlier pull stopped, and compares every file with its checksum, also those that were there. HF_HOME, " +
    "HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean there. A pulled model's name can be " +
    "given wherever --model stands; a name that is not in the cache is pulled at its first use.\n\nmerge adds the " +
    "low-rank adapters that `florence tune --method lora` leaves in OUT/adapter to the model they belong to, and writes " +
    "a checkpoint folder of its own. Adapters of another model are refused.",
  examples: [
    { line: "florence models", does: "names, sizes and licences of the bundled and the pulled models" },
    { line: "florence models pull openai/clip-vit-base-patch32", does: "download a model, or bring it up to date" },
    { line: "florence models pull OWNER/NAME@v1.0", does: "a branch, tag or commit" },
    { line: "florence models show florence-nano", does: "one model's facts and configuration" },
    {
      line: "florence models merge runs/photos/adapter --out photos-model",
      does: "a full model of a base model and its adapters",
    },
    { line: "florence models show ./my-checkpoint --json", does: "a checkpoint folder of your own" },
  ],
  configure(command: Command) {
    command.addArgument(
      new Argument("[action]", "what to do").choices(["list", "show", "pull", "merge"]).default("list"),
    );
    command.argument(
      "[name]",
      "a name or checkpoint folder, for show; OWNER/NAME[@REV], for pull; a folder of adapters",
    );
    command.option("-m, --model <name|dir>", "merge: the model they belong to (default: by the name they have of it)");
    command.option("-o, --out <folder>", "merge: the checkpoint folder to write");
    command.addOption(
      new Option("--precision <type>", "merge: of the weights (default: float32)").choices(["float16", "float32"]),
    );
    command.option("--force", "merge: replace --out if it is empty, a model or an export");
    addJsonOption(command);
  },

  async run(context, [action, name], { json, ...options }) {
    const stray = Object.keys(options).find(() => action !== "merge");
    if (stray !== undefined) {
      throw new UserError("bad-argument", `models ${action}: --${stray} is for merge, got it here. Leave it out.`);
    }
    if (action === "list") return listModels(context, Boolean(json));
    if (name === undefined) {
      throw new UserError("bad-argument", `models ${action}: a name is needed, got none. Add it.`);
    }
    if (action === "show") return showModel(context, name, Boolean(json));
    if (action === "merge") return mergeModel(context, name, options, Boolean(json));
    return pull(context, name, Boolean(json));
  },
});

async function listModels(context: CommandContext, json: boolean): Promise<number> {
  const weightsFolder = join(context.packageFolder, "weights");
  const names = await bundledModelNames(weightsFolder);
  for (const bundled of names) {
    const model = await describeModel(bundled, join(weightsFolder, bundled));
    await context.print(json ? JSON.stringify({ ...model, source: "bundled" }) : oneLine(model));
  }
  let pulled = 0;
  for (const model of await cachedModels(hubSettingsFrom(context.environment))) {
    if (!(await isOurKind(model))) continue;
    pulled++;
    await printCached(context, model, json);
  }
  if (names.length + pulled === 0) context.log(`models: there are none in ${weightsFolder}, and none are pulled.`);
  return names.length + pulled > 0 ? exitCodes.ok : exitCodes.nothingDone;
}

async function printCached(context: CommandContext, model: CachedModel, json: boolean): Promise<void> {
  const { name, folder, commit, isComplete: complete } = model;
  const short = `commit ${commit.slice(0, 7)}`;
  let facts: ModelDescription | undefined;
  let problem = "not complete: pull it";
  try {
    if (complete) facts = await describeModel(name, folder);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // A damaged model is listed too: leaving it out would hide what `pull` repairs.
    problem = `all files are there, but ${error.message}`;
  }
  if (json) {
    await context.print(JSON.stringify({ name, folder, ...facts, source: "hub", commit, complete }));
    return;
  }
  await context.print(facts ? `${oneLine(facts)}, ${short}` : `${name}  ${short}, ${problem}`);
}

/** Other programs keep other models in the cache; those are none of ours. */
async function isOurKind({ folder, isComplete }: CachedModel): Promise<boolean> {
  const opened = await CheckpointFolder.open(folder);
  const format = await formatOf(opened);
  if (!format || format.isCertain?.(opened) === false) return false;
  if (isComplete) return true;
  // A model that cannot be read was refused before its weights came: "pull it" would be no advice.
  const refusal = await format.checkConfiguration?.(opened).catch((error: unknown) => error);
  return !(refusal instanceof UserError && refusal.code === "unsupported");
}

async function showModel(context: CommandContext, name: string, json: boolean): Promise<number> {
  const weightsFolder = join(context.packageFolder, "weights");
  const folder = await findModelHere(name, { weightsFolder, settings: hubSettingsFrom(context.environment) });
  const model = await describeModel(name, folder);
  await context.print(json ? JSON.stringify(model) : fullText(model));
  return exitCodes.ok;
}

async function pull(context: CommandContext, name: string, json: boolean): Promise<number> {
  const reference = parseHubReference(name);
  if (!reference) {
    throw new UserError("bad-argument", `models pull: a name must be OWNER/NAME or OWNER/NAME@REV, got "${name}".`);
  }
  const settings = hubSettingsFrom(context.environment);
  const model = hubReferenceText(reference);
  const { folder, commit, files, downloadedBytes } = await withDownloadProgress(context, model, (onProgress) =>
    pullModel(reference, { settings, signal: context.signal, onProgress, verifies: true }),
  );
  const names = files.map((file) => file.name);
  const done = downloadedBytes > 0 ? `${megabytes(downloadedBytes)} downloaded` : "nothing new";
  await context.print(
    json
      ? JSON.stringify({ name: model, folder, commit, files: names, downloadedBytes })
      : `${model}: ${done}, ${names.length} files checked, commit ${commit.slice(0, 7)} in ${folder}`,
  );
  return exitCodes.ok;
}

function oneLine({ name, parameters, bytes, card }: ModelDescription): string {
  const facts = parameters === undefined ? [] : [`${millions(parameters)} parameters`];
  facts.push(megabytes(bytes));
  if (card.license) facts.push(card.license);
  return `${name}  ${facts.join(", ")}`;
}

function fullText(model: ModelDescription): string {
  const { parameters } = model;
  const rows: [string, string][] = [
    ["name", model.name],
    ["folder", model.folder],
    [
      "parameters",
      parameters === undefined ? "not counted (PyTorch files)" : `${parameters} (${millions(parameters)})`,
    ],
    ["weights", megabytes(model.bytes)],
    ...Object.entries(model.card),
    ...(model.config ? [["config", JSON.stringify(model.config)] as [string, string]] : []),
  ];
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, value]) => `${key.padEnd(width)}  ${value}`).join("\n");
}

function millions(count: number): string {
  return `${(count / 1e6).toFixed(1)} M`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
