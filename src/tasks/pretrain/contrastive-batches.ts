import { Rng } from "../../core/rng.ts";
import { augmentInto } from "../../data/augment.ts";
import { BatchComposer, type BatchEntry, type BatchSource } from "../../data/batching.ts";
import type { ShardReader } from "../../data/shards.ts";
import type { ContrastiveBatch } from "./contrastive-objective.ts";
import { type ExtraText, ExtraTexts } from "./extra-texts.ts";
import type { PretrainStage } from "./recipe.ts";
import { shortTextTemplates, shortTextWords } from "./short-text-templates.data.ts";
import { feedTexts, type TextSource } from "./text-feeds.ts";
import { textLabel } from "./text-label.ts";

/** Every text that a row's text can become in a stage: itself, or a short one in each template. */
export function renderings(text: string, templated: boolean): string[] {
  const short = text.trim().split(/\s+/u).length <= shortTextWords;
  return templated && short ? shortTextTemplates.map((template) => template.replace("{}", () => text)) : [text];
}

/**
 * Requires of the sets what a stage asks of them: pictures, texts, and as many names as it draws.
 *
 * @throws UserError naming the set
 */
export function checkStageData(stage: PretrainStage, shards: ReadonlyMap<string, ShardReader>): void {
  const names = Object.keys(stage.perBatch);
  new BatchComposer(
    sourcesOf(
      stage,
      names.map((name) => shards.get(name) as ShardReader),
    ),
    stage.name,
  );
  new ExtraTexts(stage.extraTexts ?? {}, shards, stage.name);
}

function sourcesOf({ perBatch, ownNameShare }: PretrainStage, readers: readonly ShardReader[]): BatchSource[] {
  return Object.entries(perBatch).map(([name, count], i) => ({
    name,
    rows: (readers[i] as ShardReader).rows,
    perBatch: count,
    ownNameShare,
  }));
}

/** Batches of a pretraining stage as a pure function of the step: rows, texts, augmentation and labels. */
export class ContrastiveBatches {
  readonly #names: readonly string[];
  readonly #readers: readonly ShardReader[];
  readonly #composer: BatchComposer;
  readonly #stage: PretrainStage;
  readonly #source: TextSource;
  readonly #extraTexts: ExtraTexts;

  constructor(stage: PretrainStage, shards: ReadonlyMap<string, ShardReader>, source: TextSource, seed: number) {
    const names = Object.keys(stage.perBatch);
    this.#names = names;
    this.#readers = names.map((name) => shards.get(name) as ShardReader);
    this.#composer = new BatchComposer(sourcesOf(stage, this.#readers), `${seed} ${stage.name}`);
    this.#stage = stage;
    this.#source = source;
    this.#extraTexts = new ExtraTexts(stage.extraTexts ?? {}, shards, `${seed} ${stage.name} extra texts`);
  }

  get batchSize(): number {
    return this.#composer.batchSize;
  }

  /** Texts of a batch: those of its images, then the further ones. */
  get textCount(): number {
    return this.#composer.batchSize + this.#extraTexts.count;
  }

  batchAt(step: number): ContrastiveBatch {
    const { imageSize, templatedTexts, augment } = this.#stage;
    const entries = this.#composer.batchAt(step);
    const pixels = new Uint8Array(entries.length * imageSize * imageSize * 3);
    const labels = new BigInt64Array(this.textCount);
    const texts: string[] = [];
    for (const [i, { source, row, text, seed }] of entries.entries()) {
      const reader = this.#readers[source] as ShardReader;
      const rng = new Rng(seed);
      const image = new Uint8Array(reader.height * reader.width * 3);
      reader.readImage(row, image);
      const at = i * imageSize * imageSize * 3;
      augmentInto(image, 0, reader.height, reader.width, pixels, at, imageSize, augment, rng);
      const description = reader.rows[row].texts[text] as string;
      labels[i] = textLabel(description); // of the description itself, whatever template carries it
      texts.push(rng.pick(renderings(description, templatedTexts)));
    }
    const extra = this.#extraTexts.textsAt(step);
    for (const [i, { text, label, seed }] of extra.entries()) {
      labels[entries.length + i] = label;
      texts.push(new Rng(seed).pick(renderings(text, templatedTexts)));
    }
    const further = extra.length > 0 ? { further: this.#further(entries, labels, extra) } : {};
    return { pixels, labels, ...further, texts: feedTexts(this.#source, texts) };
  }

  /**
   * Which extra texts each image is told apart from: those of its set, since another set's may describe it too ("frog" a
   * picture labelled "bullfrog"), but none of its other texts: they are true of it as well.
   */
  #further(entries: readonly BatchEntry[], labels: BigInt64Array, extra: readonly ExtraText[]): Float32Array {
    const allowed = new Float32Array(entries.length * extra.length);
    const columns = new Map<bigint, number[]>();
    for (const [j, { label }] of extra.entries()) columns.set(label, [...(columns.get(label) ?? []), j]);
    const sets = extra.map(({ set }) => this.#names.indexOf(set)); // −1, no image's, for a set of no pictures
    for (const [i, { source, row }] of entries.entries()) {
      const at = i * extra.length;
      for (let j = 0; j < extra.length; j++) allowed[at + j] = sets[j] === source ? 1 : 0;
      for (const text of (this.#readers[source] as ShardReader).rows[row].texts) {
        const label = textLabel(text);
        if (label !== labels[i]) for (const j of columns.get(label) ?? []) allowed[at + j] = 0;
      }
    }
    return allowed;
  }
}
