// Compares checkpoint folders with the reference embeddings in their expected.json, end to end.
// npx tsx scripts/verify-checkpoint.ts FOLDER…   (made by scripts/fixtures/*_checkpoints.py --full DIR)
import { loadModel } from "../src/zoo/load-model.ts";
import { compareWithReference } from "../test/support/reference-embeddings.ts";

const folders = process.argv.slice(2);
if (folders.length === 0) {
  console.error("Usage: npx tsx scripts/verify-checkpoint.ts FOLDER…");
  process.exitCode = 2;
}
for (const folder of folders) {
  const model = await loadModel(folder);
  const { rows, lowestCosine, largestDifference, scaleError } = await compareWithReference(model, folder);
  await model.dispose();
  const fits = lowestCosine >= 0.99999 && largestDifference <= 1e-4 && scaleError <= 1e-4;
  const worst = rows.reduce((a, b) => (a.difference > b.difference ? a : b));
  console.log(
    `${fits ? "ok  " : "FAIL"} ${folder}: ${rows.length} embeddings, lowest cosine ${lowestCosine.toFixed(7)}, ` +
      `largest difference ${largestDifference.toExponential(1)} (${worst.name}), scale off by ${scaleError.toExponential(0)}`,
  );
  if (!fits) process.exitCode = 1;
}
