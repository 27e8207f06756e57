import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { UserError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { readCheckpoint } from "../../src/zoo/checkpoint-formats.ts";
import { damagedFamilies, damages } from "./damage.ts";

const fixtures = fileURLToPath(new URL("../fixtures", import.meta.url));

/** What became of a damaged checkpoint; the first two are as it should be. */
export type DamageOutcome = "error naming the file" | "read" | "error without the file" | "not a UserError";

export interface DamageResult {
  readonly family: string;
  readonly file: string;
  readonly damage: string;
  readonly outcome: DamageOutcome;
  readonly message: string;
  readonly milliseconds: number;
}

/** Copies of every family's checkpoint in `root`, to be damaged one file at a time. */
export class DamagedCheckpoints {
  readonly #root: string;
  readonly #others: readonly Buffer[];

  private constructor(root: string, others: readonly Buffer[]) {
    this.#root = root;
    this.#others = others;
  }

  static async create(root: string): Promise<DamagedCheckpoints> {
    for (const family of Object.keys(damagedFamilies)) {
      const folder = join(root, family);
      await cp(join(fixtures, "checkpoints", family), folder, { recursive: true });
      for (const name of (await readdir(folder)).filter((file) => file.endsWith(".gz"))) {
        await writeFile(join(folder, name.slice(0, -3)), gunzipSync(await readFile(join(folder, name))));
      }
    }
    const names = ["torch-files/hostile.pt", "torch-files/legacy.pt", "torch-files/script.pt", "pictures/plain.png"];
    const others = await Promise.all(names.map((name) => readFile(join(fixtures, name))));
    const ours = [
      "siglip/spiece.model",
      "siglip2/tokenizer.json",
      "open-clip/open_clip_model.safetensors",
      "unicl/unicl.pth",
    ];
    others.push(...(await Promise.all(ours.map((name) => readFile(join(root, name))))));
    return new DamagedCheckpoints(root, others);
  }

  /** Damages a file as number `index` says, reads the checkpoint, and mends it. Kinds and files take turns. */
  async run(index: number): Promise<DamageResult> {
    const kinds = Object.keys(damages);
    const files = Object.entries(damagedFamilies).flatMap(([family, names]) =>
      names.map((name) => [family, name] as const),
    );
    const damage = kinds[index % kinds.length];
    const [family, file] = files[Math.floor(index / kinds.length) % files.length];
    const folder = join(this.#root, family);
    const path = join(folder, file);
    const good = await readFile(path);
    await writeFile(path, damages[damage](good, new Rng(`damage ${index}`), this.#others));
    const started = performance.now();
    const result: unknown = await readCheckpoint(folder).catch((thrown: unknown) => thrown);
    const milliseconds = performance.now() - started;
    await writeFile(path, good);
    return { family, file, damage, ...outcomeOf(result, folder), milliseconds };
  }
}

function outcomeOf(result: unknown, folder: string): { outcome: DamageOutcome; message: string } {
  if (!(result instanceof Error)) return { outcome: "read", message: "" }; // a changed weight is no damage that can be seen
  const message = result instanceof UserError ? result.message : `${result.stack}`;
  if (!(result instanceof UserError)) return { outcome: "not a UserError", message };
  return { outcome: result.message.includes(folder) ? "error naming the file" : "error without the file", message };
}
