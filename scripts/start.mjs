// `npm start`: from a fresh clone to results on the sample pictures. Needs Node.js and npm only.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ensureInstalled, root, run } from "./ensure-install.mjs";

const samples = "samples";
const pictures = readdirSync(join(root, samples)).filter((name) => name.endsWith(".jpg"));
const labels = pictures.map((name) => name.replace(".jpg", "").replaceAll("-", " "));
const sentences = ["a black and white bear", "a red bird with colourful feathers", "a hot drink", "a ball"];

/** Shows a command line as the user would type it, then runs it. */
function florence(...words) {
  const shown = words.map((word) => (/[ ,]/.test(word) ? JSON.stringify(word) : word));
  console.log(`\n$ npx florence ${shown.join(" ")}`);
  run(process.execPath, [join(root, "bin", "florence.js"), ...words]);
}

try {
  ensureInstalled();
  build({ ifStale: true });
  console.log("\nWhat do the pictures show? The model was given the list of words, and nothing else.");
  florence("classify", samples, "--labels", labels.join(","), "--top", "3");
  console.log("\nWhich picture fits a sentence best?");
  for (const sentence of sentences) florence("search", samples, sentence, "--top", "2");
  console.log('\nYour own pictures: npx florence classify FOLDER --labels "…" · npx florence --help');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
