import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { indexFolder } from "../../tasks/retrieval/index-folder.ts";
import { reportFailure } from "../batch-report.ts";
import {
  addImageSizeOption,
  addJsonOption,
  addModelOption,
  addPrecisionOption,
  defineCommand,
  type ImageSizeOption,
  integerBetween,
  type JsonOption,
  type ModelOption,
  numberBetween,
  type PrecisionOption,
} from "../command.ts";
import { exitCodeOfBatch } from "../exit-codes.ts";
import type { CommandProgress } from "../progress.ts";

interface SearchCommandOptions extends ModelOption, ImageSizeOption, PrecisionOption, JsonOption {
  readonly top: number;
  readonly threshold?: number;
}

/** `florence search`: the pictures of a folder that best match a sentence. */
export const searchCommand = defineCommand<[string, string], SearchCommandOptions>({
  name: "search",
  summary: "Find the pictures of a folder that best match a sentence",
  details:
    "The first search embeds every picture; later ones only what is new or changed. Scores are cosine similarities.",
  examples: [
    { line: 'florence search ~/Pictures "a dog on a beach"', does: "the ten best matches" },
    { line: 'florence search photos/ "a red car" --top 3 --threshold 0.2', does: "at most three, none below 0.2" },
    { line: 'florence search photos/ "sunset" --json', does: "one JSON object a match" },
  ],
  configure(command: Command) {
    command.argument("<folder>", "the folder to search, recursively");
    command.argument("<sentence>", "what to look for");
    command.option("--top <count>", "how many pictures to print", integerBetween(1, 1_000_000), 10);
    command.option("--threshold <score>", "leave out pictures that score below", numberBetween(-1, 1));
    addJsonOption(addPrecisionOption(addImageSizeOption(addModelOption(command))));
  },

  async run(context, [folder, sentence], { model: modelName, precision, imageSize, top, threshold, json }) {
    if (sentence.trim() === "") {
      throw new UserError("bad-argument", "search: the sentence must not be empty. Say what to look for.");
    }
    const model = await context.loadModel(modelName, { precision, imageSize, signal: context.signal });
    let progress: CommandProgress | undefined;
    try {
      const indexed = await indexFolder(folder, model, {
        cacheFolder: context.cacheFolder,
        signal: context.signal,
        onWarning: context.log,
        onFailure: (failure) => reportFailure(context, failure, Boolean(json)),
        onProgress: ({ done, total }) => {
          progress ??= context.progress("search: embedding", total);
          progress.update(done);
        },
      });
      progress?.stop();
      const { collection, embedded, reused, dropped, failed } = indexed;
      context.log(
        `search: ${collection.paths.length} pictures (${embedded} embedded, ${reused} from the cache, ` +
          `${dropped} forgotten, ${failed} failed)`,
      );
      const [query] = await model.embedTexts([sentence], { signal: context.signal });
      for (const match of collection.nearest(query, { top, threshold })) {
        await context.print(json ? JSON.stringify(match) : `${match.score.toFixed(4)}  ${match.path}`);
      }
      return exitCodeOfBatch({ processed: collection.paths.length, failed });
    } finally {
      progress?.stop();
      await model.dispose();
    }
  },
});
