import { UserError } from "../../core/errors.ts";
import { Rng } from "../../core/rng.ts";
import type { ShardReader } from "../../data/shards.ts";
import { textLabel } from "./text-label.ts";

/** One further text of a step. */
export interface ExtraText {
  readonly text: string;
  readonly label: bigint; // of the text itself, whatever template carries it
  readonly set: string;
  readonly seed: number; // of its template, [0, 2³²)
}

/**
 * Names that a step's pictures are told apart from besides each other's: with a frozen text encoder they cost almost
 * nothing, and a picture is weighed against hundreds of names at a batch that holds few. Each set's own names (first
 * texts, one of each label) are drawn without repetition, as a pure function of the step.
 */
export class ExtraTexts {
  readonly count: number;
  readonly #draws: readonly { set: string; names: readonly OwnName[]; count: number; rng: Rng }[];

  /** @param counts  how many names of each set, at most those it has */
  constructor(counts: Readonly<Record<string, number>>, shards: ReadonlyMap<string, ShardReader>, seed: string) {
    const root = new Rng(seed);
    this.#draws = Object.entries(counts).map(([set, count]) => {
      const names = ownNames(shards.get(set) as ShardReader);
      if (count > names.length) {
        const got = `extraTexts must be at most the ${names.length} different names it has, got ${count}`;
        throw new UserError("bad-argument", `Set "${set}": ${got}. Correct the recipe.`);
      }
      return { set, names, count, rng: root.fork(set) };
    });
    this.count = this.#draws.reduce((sum, { count }) => sum + count, 0);
  }

  textsAt(step: number): ExtraText[] {
    return this.#draws.flatMap(({ set, names, count, rng }) => {
      const draw = rng.fork(step);
      return [...draw.permutation(names.length).subarray(0, count)].map((i) => ({
        ...names[i],
        set,
        seed: draw.uint32(),
      }));
    });
  }
}

type OwnName = Pick<ExtraText, "text" | "label">;

function ownNames({ rows }: ShardReader): OwnName[] {
  const byLabel = new Map<bigint, OwnName>();
  for (const { texts } of rows) {
    const [text] = texts;
    if (text === undefined) continue;
    const label = textLabel(text);
    if (!byLabel.has(label)) byLabel.set(label, { text, label });
  }
  return [...byLabel.values()];
}
