import { join } from "node:path";
import { Argument, type Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { bundledModelNames, describeModel, type ModelDescription, modelFolder } from "../../zoo/bundled-models.ts";
import { addJsonOption, defineCommand, type JsonOption } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

/** `florence models`: what is in weights/. */
export const modelsCommand = defineCommand<["list" | "show", string | undefined], JsonOption>({
  name: "models",
  summary: "List the models that come with florence, or show one",
  examples: [
    { line: "florence models", does: "names, sizes and licences" },
    { line: "florence models show florence-nano", does: "one model's facts and configuration" },
    { line: "florence models show ./my-checkpoint --json", does: "a checkpoint folder of your own" },
  ],
  configure(command: Command) {
    command.addArgument(new Argument("[action]", "what to do").choices(["list", "show"]).default("list"));
    command.argument("[name]", "a model's name or checkpoint folder, for show");
    addJsonOption(command);
  },

  async run(context, [action, name], { json }) {
    const weightsFolder = join(context.packageFolder, "weights");
    if (action === "show") {
      if (name === undefined) throw new UserError("bad-argument", "models show: a name is needed, got none. Add it.");
      const model = await describeModel(name, await modelFolder(weightsFolder, name));
      await context.print(json ? JSON.stringify(model) : fullText(model));
      return exitCodes.ok;
    }
    const names = await bundledModelNames(weightsFolder);
    if (names.length === 0) context.log(`models: there are none in ${weightsFolder}.`);
    for (const bundled of names) {
      const model = await describeModel(bundled, join(weightsFolder, bundled));
      await context.print(json ? JSON.stringify(model) : oneLine(model));
    }
    return names.length > 0 ? exitCodes.ok : exitCodes.nothingDone;
  },
});

function oneLine({ name, parameters, bytes, card }: ModelDescription): string {
  const facts = [`${millions(parameters)} parameters`, `${megabytes(bytes)}`];
  if (card.license) facts.push(card.license);
  return `${name}  ${facts.join(", ")}`;
}

function fullText(model: ModelDescription): string {
  const rows: [string, string][] = [
    ["name", model.name],
    ["folder", model.folder],
    ["parameters", `${model.parameters} (${millions(model.parameters)})`],
    ["weights", megabytes(model.bytes)],
    ...Object.entries(model.card),
    ["config", JSON.stringify(model.config)],
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
