import type { SplitName } from "./labelled-set.ts";

const aliases: Readonly<Record<string, SplitName>> = {
  train: "train",
  training: "train",
  trn: "train",
  val: "val",
  valid: "val",
  validation: "val",
  dev: "val",
  test: "test",
  testing: "test",
  tst: "test",
};

/** The split that a word means ("valid", "Dev", …), or undefined for any other word. */
export function splitOfWord(word: string): SplitName | undefined {
  return Object.hasOwn(aliases, word.toLowerCase()) ? aliases[word.toLowerCase()] : undefined;
}

/**
 * The split that a file's name tells: the first of its parts, cut at anything but letters, that means one:
 * "imagenet-train-000012.tar", "captions_val2017.json", "test.jsonl".
 */
export function splitOfFileName(name: string): SplitName | undefined {
  for (const word of name.split(/[^A-Za-z]+/)) {
    const split = splitOfWord(word);
    if (split !== undefined) return split;
  }
  return undefined;
}
