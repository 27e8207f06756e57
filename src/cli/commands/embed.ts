import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { countImageFiles, walkImageFiles } from "../../io/file-walk.ts";
import { embedImageFiles } from "../../search/embed-images.ts";
import { BatchReport } from "../batch-report.ts";
import {
  addImageSizeOption,
  addJsonOption,
  addModelOption,
  addPrecisionOption,
  collect,
  defineCommand,
  type ImageSizeOption,
  type JsonOption,
  type ModelOption,
  type PrecisionOption,
} from "../command.ts";
import { embeddingNumbers } from "../embedding-numbers.ts";

interface EmbedCommandOptions extends ModelOption, ImageSizeOption, PrecisionOption, JsonOption {
  readonly text?: readonly string[];
}

const textsPerRun = 64;

/** `florence embed`: the vectors of pictures and sentences. */
export const embedCommand = defineCommand<[string[]], EmbedCommandOptions>({
  name: "embed",
  summary: "Turn pictures and sentences into comparable vectors",
  details: "Embeddings have length 1, so the dot product of any two is their cosine similarity.",
  examples: [
    { line: "florence embed photo.jpg", does: "the first numbers of a picture's embedding" },
    { line: "florence embed photos/ --json > photos.jsonl", does: "all numbers of a folder's pictures" },
    { line: 'florence embed --text "a red bicycle" --text "a cat" --json', does: "two sentences" },
  ],
  configure(command: Command) {
    command.argument("[path...]", "picture files and folders");
    command.option("-t, --text <sentence>", "a sentence to embed; may be given several times", collect);
    addJsonOption(addPrecisionOption(addImageSizeOption(addModelOption(command))));
  },

  async run(context, [paths], { model: modelName, precision, imageSize, text: texts = [], json }) {
    if (paths.length === 0 && texts.length === 0) {
      throw new UserError(
        "bad-argument",
        'embed: pictures or sentences are needed, got none. Add a PATH or --text "…".',
      );
    }
    const emptyAt = texts.findIndex((text) => text.trim() === "");
    if (emptyAt >= 0) {
      throw new UserError("bad-argument", `embed: no --text may be empty, got nothing as number ${emptyAt + 1}.`);
    }
    const model = await context.loadModel(modelName, { precision, imageSize, signal: context.signal });
    const { signal } = context;
    const inputs = countImageFiles(paths, { signal }).then((pictures) => pictures + texts.length);
    const report = new BatchReport(context, "embed", Boolean(json), inputs);
    try {
      const line = (subject: { path: string } | { text: string }, embedding: Float32Array) =>
        json ? JSON.stringify({ ...subject, embedding: embeddingNumbers(embedding) }) : describe(subject, embedding);
      for await (const result of embedImageFiles(walkImageFiles(paths, { signal }), model, { signal })) {
        if ("error" in result) await report.fail(result);
        else await report.succeed(line({ path: result.file.path }, result.embedding));
      }
      for (let start = 0; start < texts.length; start += textsPerRun) {
        signal.throwIfAborted();
        const group = texts.slice(start, start + textsPerRun);
        const embeddings = await model.embedTexts(group, { signal });
        for (const [i, text] of group.entries()) await report.succeed(line({ text }, embeddings[i]));
      }
      return report.finish();
    } finally {
      report.stop();
      await model.dispose();
    }
  },
});

function describe(subject: { path: string } | { text: string }, embedding: Float32Array): string {
  const name = "path" in subject ? subject.path : JSON.stringify(subject.text);
  const first = Array.from(embedding.subarray(0, 4), (value) => value.toFixed(4)).join(", ");
  return `${name}  [${first}, …]  ${embedding.length} numbers, norm ${Math.hypot(...embedding).toFixed(4)}`;
}
