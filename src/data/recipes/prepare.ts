import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { UserError } from "../../core/errors.ts";
import type { RgbImage } from "../../core/image.ts";
import { type FetchedPackage, fetchPackage, type PackageReference, titleOf } from "../../io/packages.ts";
import { type ShardManifest, ShardWriter } from "../shards.ts";
import type { Recipe, RecipeSample } from "./recipe.ts";

export interface PrepareOptions {
  /** Side of the prepared pictures in pixels; the recipe's own if left out. */
  readonly size?: number;
  /** Where downloaded packages are kept. */
  readonly packageFolder: string;
  /** Where the shard folder is written. */
  readonly shardFolder: string;
  /** The folder of the recipe's local data, or the folder that holds it under the recipe's name for it. */
  readonly source?: string;
  /** Called after every picture. */
  readonly onProgress?: (done: number) => void;
  /** Told of every picture that did not decode; the set goes on without it. */
  readonly onFailure?: (key: string, error: unknown) => void;
  readonly signal?: AbortSignal;
}

const decodeAhead = 16;
const blankTolerance = 2; // of 255

/**
 * Fetches a recipe's packages and writes its shard folder.
 *
 * @throws UserError `not-found` for missing local data, `network` or `mismatch` for packages, `empty` for no picture
 */
export async function prepareRecipe(recipe: Recipe, options: PrepareOptions): Promise<ShardManifest> {
  const size = options.size ?? recipe.size;
  const fetched = await fetchAll(recipe.packages, options);
  const writer = new ShardWriter(options.shardFolder, {
    name: basename(options.shardFolder),
    source: [recipe.source, ...recipe.packages.map((one) => `${titleOf(one)} (sha256 ${one.sha256})`)].join("; "),
    licence: recipe.licence,
    height: size,
    width: size,
    recipe: `${recipe.name}, ${recipe.role}, ${size}×${size}, ${recipe.fit}`,
    createdBy: "florence data prepare",
    role: recipe.role,
  });
  try {
    const samples = recipe.samples({
      fetched: (reference) => fetched.get(reference) as FetchedPackage,
      sourceFolder: () => localFolder(recipe, options.source),
      leaveOut: (reason) => writer.countRemoved(reason),
    });
    let done = 0;
    for await (const { sample, outcome } of decodeInOrder(samples, size)) {
      options.signal?.throwIfAborted();
      if ("image" in outcome && isBlank(outcome.image)) {
        writer.countRemoved("blank");
      } else if ("image" in outcome) {
        const { key, texts, weights, label } = sample;
        writer.append(outcome.image, { key, texts: [...texts], weights: weights && [...weights], label });
      } else {
        writer.countRemoved("not decodable");
        options.onFailure?.(sample.key, outcome.error);
      }
      options.onProgress?.(++done);
    }
    if (writer.count === 0) throw new UserError("empty", `${recipe.name}: no picture was found. Check its source.`);
  } catch (error) {
    writer.abort();
    throw error;
  }
  return writer.close();
}

/** The folder of a recipe's local data: under `source`, or `source` itself when it has that name. */
export function localFolder(recipe: Recipe, source: string | undefined): string {
  const name = recipe.folder ?? recipe.name;
  if (source === undefined) {
    throw new UserError(
      "bad-argument",
      `${recipe.name}: its data comes in no package. Pass --source with the folder that holds ${name}.`,
    );
  }
  const inside = join(source, name);
  if (existsSync(inside)) return inside;
  if (basename(resolve(source)) === name && existsSync(source)) return source;
  throw new UserError("not-found", `${inside}: the data of ${recipe.name} must be there, got nothing. Check --source.`);
}

async function fetchAll(
  packages: readonly PackageReference[],
  { packageFolder, signal }: PrepareOptions,
): Promise<Map<PackageReference, FetchedPackage>> {
  const fetched = new Map<PackageReference, FetchedPackage>();
  for (const reference of packages) {
    signal?.throwIfAborted();
    fetched.set(reference, await fetchPackage(reference, packageFolder));
  }
  return fetched;
}

/** Whether a picture has one colour all over. */
function isBlank({ data }: RgbImage): boolean {
  for (let i = 3; i < data.length; i++) {
    if (Math.abs(data[i] - data[i % 3]) > blankTolerance) return false;
  }
  return true;
}

type Outcome = { image: RgbImage } | { error: unknown };

/** Decodes a few pictures ahead of the writer, keeping their order. */
async function* decodeInOrder(
  samples: AsyncIterable<RecipeSample>,
  size: number,
): AsyncGenerator<{ sample: RecipeSample; outcome: Outcome }> {
  const pending: Promise<{ sample: RecipeSample; outcome: Outcome }>[] = [];
  const decode = async (sample: RecipeSample): Promise<{ sample: RecipeSample; outcome: Outcome }> => {
    try {
      return { sample, outcome: { image: await sample.decode(size) } };
    } catch (error) {
      return { sample, outcome: { error } };
    }
  };
  for await (const sample of samples) {
    pending.push(decode(sample));
    if (pending.length >= decodeAhead) yield (await pending.shift()) as { sample: RecipeSample; outcome: Outcome };
  }
  for (const one of pending) yield await one;
}
