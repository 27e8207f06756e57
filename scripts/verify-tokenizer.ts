// Compares CLIP's tokenizer with reference ids of many texts.
// npx tsx scripts/verify-tokenizer.ts MERGES IDS.jsonl   (made by scripts/fixtures/clip_tokenizer_many.py)
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { ClipTokenizer } from "../src/data/tokenizers/clip-bpe.ts";
import { readUnpacked } from "../src/io/archives.ts";

const [mergesPath, idsPath] = process.argv.slice(2);
const tokenizer = new ClipTokenizer({ mergesText: new TextDecoder().decode(await readUnpacked(mergesPath)) });
const counts = new Map<string, { texts: number; different: number }>();
for await (const line of createInterface({ input: createReadStream(idsPath) })) {
  const { kind, text, ids } = JSON.parse(line) as { kind: string; text: string; ids: number[] };
  const count = counts.get(kind) ?? { texts: 0, different: 0 };
  counts.set(kind, count);
  count.texts++;
  const found = tokenizer.encode(text);
  if (found.join() === ids.join()) continue;
  count.different++;
  if (count.different <= 3) console.log(`${kind}: ${JSON.stringify(text)}\n  expected ${ids}\n  got      ${found}`);
}
let different = 0;
for (const [kind, count] of counts) {
  console.log(`${kind}: ${count.texts} texts, ${count.different} different`);
  different += count.different;
}
process.exitCode = different > 0 ? 1 : 0;
