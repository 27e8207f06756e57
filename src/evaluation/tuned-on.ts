import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { LabelledImage, LabelledSet } from "../data/labelled/labelled-set.ts";
import { tuningParts, tuningPartsBySplits } from "../data/labelled/tuning-parts.ts";

/** What `tuning.json` of a tuned model says of the pictures it learnt from; anything else in it is passed over. */
const reportSchema = z.looseObject({
  data: z.looseObject({ fingerprint: z.string(), division: z.string().optional() }),
  recipe: z.looseObject({ seed: z.number() }),
});

/** The keys of a set's images that a model was tuned on. */
export type TunedOn = ReadonlySet<string>;

/**
 * The images of a set that the model in a folder was trained on, by its `tuning.json`; undefined for a model that was
 * not tuned on this very set. Reports of versions that did not say how they divided are of the older division.
 */
export async function tunedOn(modelFolder: string, set: LabelledSet): Promise<TunedOn | undefined> {
  const text = await readFile(join(modelFolder, "tuning.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const report = reportSchema.safeParse(parsed(text)).data;
  if (report?.data.fingerprint !== set.fingerprint) return undefined;
  const { data, recipe } = report;
  const divide = data.division === "as evaluated" ? tuningParts : tuningPartsBySplits;
  return new Set(divide(set, recipe.seed).train.map(({ key }) => key));
}

/** How many of the images a model was tuned on. */
export function countTunedOn(images: readonly LabelledImage[], keys: TunedOn | undefined): number {
  return keys ? images.filter(({ key }) => keys.has(key)).length : 0;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a report that cannot be read says nothing
  }
}
