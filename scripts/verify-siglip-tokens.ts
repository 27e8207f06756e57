// Compares SigLIP tokenizers with the ids that their own libraries gave the texts of tokens.json, folder by folder.
// npx tsx scripts/verify-siglip-tokens.ts FOLDER…   (made by scripts/fixtures/siglip_checkpoints.py --full DIR)
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointFolder } from "../src/zoo/checkpoint-folder.ts";
import { readSiglipTokenizer } from "../src/zoo/siglip-tokenizer-files.ts";

interface StoredTokens {
  contextLength: number;
  padId: number;
  cases: { text: string; ids: number[] }[];
}

const folders = process.argv.slice(2);
if (folders.length === 0) {
  console.error("Usage: npx tsx scripts/verify-siglip-tokens.ts FOLDER…");
  process.exitCode = 2;
}
for (const folder of folders) {
  const { contextLength, padId, cases } = JSON.parse(
    await readFile(join(folder, "tokens.json"), "utf8"),
  ) as StoredTokens;
  const sizes = { vocabulary: Number.POSITIVE_INFINITY, contextLength };
  const tokenizer = await readSiglipTokenizer(await CheckpointFolder.open(folder), sizes);
  const wrong = cases.flatMap(({ text, ids }) => {
    const padded = [...ids, ...new Array<number>(contextLength - ids.length).fill(padId)].join(" ");
    const got = tokenizer.encode(text).join(" ");
    return got === padded ? [] : [{ text, want: ids.join(" "), got }];
  });
  for (const each of wrong.slice(0, 5)) console.log(JSON.stringify(each));
  const verdict = wrong.length === 0 && cases.length > 0 ? "ok  " : "FAIL";
  console.log(`${verdict} ${folder}: ${cases.length} texts, ${wrong.length} differ`);
  if (verdict !== "ok  ") process.exitCode = 1;
}
