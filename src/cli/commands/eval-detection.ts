import { recordDetectionScore } from "../../evaluation/detection-score.ts";
import { Ledger } from "../../evaluation/ledger.ts";
import {
  addDetectorOption,
  addJsonOption,
  addModelOption,
  addNamingOption,
  type DetectorOption,
  defineCommand,
  type JsonOption,
  type ModelOption,
  type NamingOption,
} from "../command.ts";
import { openDetectorFor, openReportedSet } from "../detection-session.ts";
import { defaultLedger } from "../evaluation-session.ts";
import { percent } from "../evaluation-table.ts";
import { exitCodes } from "../exit-codes.ts";

interface EvalDetectionOptions extends ModelOption, DetectorOption, NamingOption, JsonOption {
  readonly split: string;
  readonly ledger: string;
  readonly strict?: boolean;
}

/** `florence eval detection`: COCO's scores of a detector on a set of boxes, kept in the ledger. */
export const evalDetectionCommand = defineCommand<[string], EvalDetectionOptions>({
  name: "eval-detection",
  summary: "Score a detector on your pictures with boxes (also: florence eval detection)",
  details:
    "Finds objects in a split of a set (COCO, YOLO or Pascal VOC) and appends COCO's AP to the ledger, with AP50, AP75, " +
    "sizes, classes, what is wrong, and the AP of random boxes as chance. A detector of the set's classes is taken as it " +
    "is; one that finds objects of any kind has them named by --model (zero-shot, as Florence does). " +
    "`florence eval report LEDGER` draws it all.",
  examples: [
    { line: "florence eval detection boxes/ --detector runs/boxes/model", does: "a tuned detector on the test part" },
    {
      line: "florence eval detection boxes/ --split val --json",
      does: "zero-shot: proposals, each named by a model in the words of the set's classes",
    },
    {
      line: "florence eval detection boxes/ --method regions",
      does: "the same, all boxes of a picture named from one run over it instead of a crop each",
    },
  ],
  configure(command) {
    command.argument("<data>", "a set of pictures with boxes");
    addDetectorOption(command);
    addNamingOption(addModelOption(command));
    command.option("--split <name>", "train, val or test", "test");
    command.option("--ledger <file>", "where scores are kept, one JSON object a line", defaultLedger);
    command.option("--strict", "refuse a set with annotations that cannot be used");
    addJsonOption(command);
  },

  async run(context, [path], options) {
    const set = await openReportedSet(context, path, options.strict ?? false);
    const ledger = await Ledger.open(options.ledger);
    const opened = await openDetectorFor(context, options, set.classes);
    const { model, protocol } = opened;
    const progress = context.progress("detecting", set.splits.get(options.split as "test")?.length);
    try {
      const run = { set, split: options.split, model, protocol, seed: null };
      const entry = await recordDetectionScore(opened.finds, run, ledger, {
        signal: context.signal,
        onProgress: (done) => progress.update(done),
        onFailure: ({ error }) => context.log(error.message),
      });
      progress.stop();
      if (options.json) await context.print(JSON.stringify(entry));
      else {
        const { score, interval, chance, n, metrics } = entry;
        const between = interval.map(percent).join(" to ");
        await context.print(
          `${set.name}, ${options.split}: AP ${percent(score)} (${between}), random boxes ${percent(chance)}, n ${n}`,
        );
        const rest = Object.entries(metrics).filter(([name]) => name !== "ap");
        await context.print(rest.map(([name, value]) => `${name} ${percent(value)}`).join(", "));
      }
      return entry.failed > 0 ? exitCodes.someFailed : exitCodes.ok;
    } finally {
      progress.stop();
      await opened.dispose();
    }
  },
});
