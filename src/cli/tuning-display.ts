import type { FailedFile } from "../io/file-walk.ts";
import { type Progress, type ProgressFields, startProgress } from "../io/progress.ts";
import { gainShare, gainShareAmong, lossOf, type MixtureScore } from "../training/retention.ts";
import { plainTest } from "../training/tuned-model-card.ts";
import type { TuningOptions, TuningResult } from "../training/tuning.ts";
import type { TuningScore } from "../training/tuning-scores.ts";
import { reportFailure } from "./batch-report.ts";
import type { CommandContext } from "./context.ts";
import { alignedTable } from "./evaluation-table.ts";

/** What a tuning shows while it runs: one progress line on stderr, and results on stdout. */
export class TuningDisplay {
  readonly #context: CommandContext;
  readonly #isJson: boolean;
  #progress: Progress | undefined;
  #shown = "";
  #failures = 0;

  constructor(context: CommandContext, isJson: boolean) {
    this.#context = context;
    this.#isJson = isJson;
  }

  /** What `tune` is to be given to report here. */
  get listeners(): Pick<
    TuningOptions,
    "onPictures" | "onFailure" | "onTexts" | "onAnchors" | "onStep" | "onSkip" | "onWarning" | "onMixture" | "onScoring"
  > {
    return {
      onPictures: (part, done, total) => this.#show(`${part} pictures`, "pictures", done, total),
      onFailure: (failure) => this.fail(failure),
      onTexts: (done, total) => this.#show("texts", "texts", done, total),
      onAnchors: (done, total) => this.#show("anchors", "pictures", done, total),
      onSkip: (folder, reason) => this.#context.log(`skipped the damaged checkpoint ${folder}: ${reason}`),
      onWarning: (message) => this.#context.log(message),
      onStep: (report) => {
        const { step, totalSteps, loss, samplesPerSecond, learningRate } = report;
        this.#show("tuning", "steps", step, totalSteps, {
          loss: loss.toFixed(3),
          rate: learningRate.toExponential(1),
          "pictures/s": samplesPerSecond.toFixed(0),
        });
        this.#printJson(report);
      },
      onScoring: (done, total) => this.#show("scoring", "pictures", done, total),
      onMixture: (score) => this.#printJson(score),
    };
  }

  /** How many pictures and rows were left out. */
  get failures(): number {
    return this.#failures;
  }

  /** Reports a picture or row that is left out. */
  fail(failure: FailedFile): void {
    this.#failures++;
    if (!this.#context.signal.aborted) void reportFailure(this.#context, failure, this.#isJson).catch(() => undefined);
  }

  /** Prints the scores of the finished model and where it is. */
  async finish({ report, folders, loss }: TuningResult): Promise<void> {
    const { alpha, mixtures, test, control } = report;
    if (this.#isJson) {
      const kept = test?.before && gainShare(test.after, test.before, test.plain);
      const line = { ...folders, alpha, test, gainShare: kept, controlLoss: control ? loss : undefined };
      await this.#context.print(JSON.stringify(line));
      return;
    }
    const table = mixtureTable(mixtures, alpha, control?.name);
    for (const line of table) await this.#context.print(line);
    if (test) {
      const before = test.before ? `${percent(test.before)} before, ` : "";
      await this.#context.print(
        `test: ${test.after.measure} ${before}${percent(test.after)} after (${test.after.count} pictures)${plainTest(test, alpha)}`,
      );
    }
    this.#context.log(
      `The model is in ${folders.model}${folders.adapter ? `, its adapters in ${folders.adapter}` : ""}.`,
    );
  }

  stop(): void {
    this.#progress?.stop();
    this.#progress = undefined;
    this.#shown = "";
  }

  #show(label: string, unit: string, done: number, total: number, fields?: ProgressFields): void {
    const shown = `${label} ${total}`; // each round of scoring has its own number of pictures
    if (this.#shown !== shown) {
      this.#progress?.stop();
      const { environment } = this.#context;
      this.#progress = startProgress({ label, total, unit, start: Math.max(0, done - 1), environment });
      this.#shown = shown;
    }
    this.#progress?.update(done, fields);
  }

  /** A stopping run saves its checkpoint first; a line that cannot be printed any more must not prevent that. */
  #printJson(value: unknown): void {
    if (this.#isJson && !this.#context.signal.aborted) {
      void this.#context.print(JSON.stringify(value)).catch(() => undefined);
    }
  }
}

const percent = ({ value }: TuningScore): string => `${(100 * value).toFixed(1)} %`;

/** The trade-off: each α with its score on the task, the share of the plain gain that it keeps, and the control set. */
function mixtureTable(mixtures: readonly MixtureScore[], kept: number, controlName = "control"): string[] {
  const before = mixtures.find(({ alpha }) => alpha === 0);
  const rows = mixtures.map((score) => {
    const share = gainShareAmong(mixtures, score);
    const change = before ? -100 * lossOf(score, before) : 0;
    return [
      `${score.alpha.toFixed(2)}${score.alpha === kept ? " (kept)" : ""}`,
      percent(score.validation),
      share === undefined ? "" : `${(100 * share).toFixed(1)} %`,
      score.control ? percent(score.control) : "",
      score.control ? `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)}` : "",
    ];
  });
  const measure = mixtures[0]?.validation.measure ?? "";
  return alignedTable(["alpha", `validation ${measure}`, "of the plain gain", controlName, "points"], rows);
}
