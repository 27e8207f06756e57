// `npm start`: from a fresh clone to results on the sample pictures. Needs Node.js and npm only.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "./build.mjs";
import { ensureInstalled, root } from "./ensure-install.mjs";

const samples = "samples";
const drawings = join(samples, "drawings");
/** What kind of thing each subject is that is no animal. */
const kinds = {
  astronaut: "person",
  baseball: "ball",
  coffee: "drink",
  "eiffel-tower": "tower",
  windmill: "tower",
  rocket: "rocket",
  hammer: "hammer",
};
const subjects = readdirSync(join(root, drawings)).map(subjectOf);
const sentences = ["a black and white bear", "a red bird with colourful feathers", "a hot drink", "a ball"];

function subjectOf(path) {
  return basename(path).replace(/\.\w+$/, "");
}

/** Shows a command line as the user would type it, runs it and returns what it printed. */
function florence(...words) {
  const shown = words.map((word) => (/[ ,]/.test(word) ? JSON.stringify(word) : word));
  console.log(`\n$ npx florence ${shown.join(" ")}`);
  const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] };
  const { stdout, status, error } = spawnSync(process.execPath, [join(root, "bin", "florence.js"), ...words], options);
  process.stdout.write(stdout ?? "");
  if (error) throw error;
  if (status !== 0) throw new Error(`florence ${words[0]} ended with exit code ${status}`);
  return stdout;
}

/** Classifies a folder and counts the pictures whose first label is theirs. */
function classify(folder, labels, labelOf) {
  const lines = florence("classify", folder, "--labels", labels.join(","), "--top", "2").trim().split("\n");
  const right = lines.filter((line) => {
    const [path, first] = line.split("  ");
    return first.startsWith(`${labelOf(subjectOf(path))} `);
  });
  console.log(`→ ${right.length} of ${lines.length} are right`);
}

try {
  ensureInstalled();
  build({ ifStale: true });
  console.log("\nWhat do the pictures show? The model was given the list of words, and nothing else.");
  classify(samples, ["animal", ...new Set(Object.values(kinds))], (subject) => kinds[subject] ?? "animal");
  console.log("\nAnd which animal, which thing? Of the drawings:");
  const nameOf = (subject) => subject.replaceAll("-", " ");
  classify(drawings, subjects.map(nameOf), nameOf);
  console.log("\nWhich picture fits a sentence best?");
  for (const sentence of sentences) florence("search", samples, sentence, "--top", "2");
  console.log('\nYour own pictures: npx florence classify FOLDER --labels "…" · npx florence --help');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
