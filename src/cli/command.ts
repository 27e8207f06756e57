import { type Command, InvalidArgumentError, Option } from "commander";
import { type Precision, precisions } from "../core/precision.ts";
import { type NamingMethod, namingMethods } from "../evaluation/detection-settings.ts";
import type { CommandContext } from "./context.ts";

/** One line of `--help`'s examples and what it does. */
export interface CommandExample {
  readonly line: string;
  readonly does: string;
}

export interface CommandDefinition<Positionals extends readonly unknown[], Options> {
  readonly name: string;
  /** One line, imperative, for the list of commands. */
  readonly summary: string;
  /** Further sentences for the command's own help. */
  readonly details?: string;
  readonly examples: readonly CommandExample[];
  /** Declares arguments and options, in commander's words. */
  readonly configure: (command: Command) => void;
  /** Does the work and returns the exit code; throws UserError for what the user can mend. */
  readonly run: (context: CommandContext, positionals: Positionals, options: Options) => Promise<number>;
}

/** A command as the program registers it, its own argument types sealed in. */
export interface CliCommand {
  readonly name: string;
  readonly attach: (program: Command, context: CommandContext, finish: (exitCode: number) => void) => void;
}

/** Seals a definition. `Positionals` and `Options` must match what `configure` declares. */
export function defineCommand<Positionals extends readonly unknown[], Options>(
  definition: CommandDefinition<Positionals, Options>,
): CliCommand {
  return {
    name: definition.name,
    attach(program, context, finish) {
      const command = program.command(definition.name).summary(definition.summary);
      command.description(definition.details ? `${definition.summary}.\n\n${definition.details}` : definition.summary);
      definition.configure(command);
      command.addHelpText("after", exampleText(definition.examples));
      command.action(async () => {
        const positionals = command.processedArgs as unknown as Positionals;
        finish(await definition.run(context, positionals, command.opts() as Options));
      });
    },
  };
}

export interface ModelOption {
  readonly model: string;
}

export interface DetectorOption {
  readonly detector: string;
}

export interface ImageSizeOption {
  readonly imageSize?: number;
}

export interface PrecisionOption {
  readonly precision: Precision;
}

export interface NamingOption {
  readonly method?: NamingMethod;
}

export interface JsonOption {
  readonly json?: boolean;
}

/** The bundled image–text model. */
export const bundledModel = "florence-nano";

/** Adds `--model NAME|DIR|OWNER/NAME`. */
export function addModelOption(command: Command): Command {
  return command.option(
    "-m, --model <name|dir>",
    "a bundled model, a checkpoint folder, or OWNER/NAME[@REV]",
    bundledModel,
  );
}

/** The bundled detector of any objects, made on the bundled model. */
export const bundledDetector = "florence-nano-detector";

/** Adds `--detector NAME|DIR`, the bundled one if left out. */
export function addDetectorOption(command: Command): Command {
  return command.option("-d, --detector <name|dir>", "the bundled detector, or a detector's folder", bundledDetector);
}

/** Adds `--method crops|regions|head`. */
export function addNamingOption(command: Command): Command {
  return command.addOption(
    new Option("--method <how>", "who names the boxes; as the detector suits if left out").choices(namingMethods),
  );
}

/** Adds `--image-size PIXELS`. */
export function addImageSizeOption(command: Command): Command {
  return command.option(
    "--image-size <pixels>",
    "side of the square that pictures become, if not the model's own: position embeddings are interpolated",
    integerBetween(1, 4096),
  );
}

/** Adds `--precision float32|int8`. */
export function addPrecisionOption(command: Command): Command {
  return command.addOption(
    new Option("--precision <type>", "how to compute: int8 is faster, close to float32 but not equal")
      .choices(precisions)
      .default("float32"),
  );
}

/** Adds `--json`. */
export function addJsonOption(command: Command): Command {
  return command.option("--json", "print one JSON object a line on stdout");
}

/** An argument parser for whole numbers in [low, high]. */
export function integerBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`It must be a whole number from ${low} to ${high}.`);
    }
    return value;
  };
}

/** An argument parser for numbers in [low, high]. */
export function numberBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < low || value > high) {
      throw new InvalidArgumentError(`It must be a number from ${low} to ${high}.`);
    }
    return value;
  };
}

/** An argument parser for whole numbers from `low`, separated by commas. */
export function wholeNumbersFrom(low: number): (text: string) => number[] {
  return (text) => {
    const numbers = text.split(",").map(Number);
    if (text.trim() === "" || numbers.some((value) => !Number.isInteger(value) || value < low)) {
      throw new InvalidArgumentError(`It must be whole numbers from ${low}, separated by commas.`);
    }
    return [...new Set(numbers)];
  };
}

/** An argument parser for options that may be given several times. */
export function collect(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, text];
}

function exampleText(examples: readonly CommandExample[]): string {
  const lines = examples.map(({ line, does }) => `  # ${does}\n  $ ${line}`);
  return `\nExamples:\n${lines.join("\n\n")}`;
}
