import type { Command } from "commander";
import { UserError } from "../core/errors.ts";
import { readUtf8 } from "../io/text-files.ts";
import { bareTemplates, defaultTemplates } from "../tasks/classification/templates.data.ts";

/** What says which labels there are to choose from, and the prompts that each is put into. */
export interface LabelOptions {
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly templates: string;
}

/** Adds `--labels`, `--labels-file` and `--templates`. */
export function addLabelOptions(command: Command): Command {
  return command
    .option("-l, --labels <list>", "labels, separated by commas")
    .option("--labels-file <file>", "labels, one a line")
    .option(
      "--templates <default|none|file>",
      "prompts that each label is put into; in a file, one a line with {} for the label",
      "default",
    );
}

/**
 * The labels as they are given, unchecked; nothing if none are.
 *
 * @throws UserError (bad-argument) if they are given in both ways, or for a file that cannot be read
 */
export async function readLabels(
  { labels, labelsFile }: LabelOptions,
  command: string,
): Promise<readonly string[] | undefined> {
  if (labels !== undefined && labelsFile !== undefined) {
    const rule = `${command}: --labels and --labels-file exclude each other`;
    throw new UserError("bad-argument", `${rule}. Give one of them.`);
  }
  if (labels !== undefined) return labels.split(",");
  return labelsFile === undefined ? undefined : linesOfFile(labelsFile);
}

/** The templates that are chosen, unchecked. @throws UserError for a file that cannot be read */
export async function readTemplates(choice: string): Promise<readonly string[]> {
  if (choice === "default") return defaultTemplates;
  if (choice === "none") return bareTemplates;
  return linesOfFile(choice);
}

/** The lines of a text file that are not blank. @throws UserError naming the file */
export async function linesOfFile(path: string): Promise<string[]> {
  return (await readUtf8(path))
    .replace(/^\uFEFF/, "") // some editors begin a file with a byte order mark
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
}
