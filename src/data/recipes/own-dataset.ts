import { readFile } from "node:fs/promises";
import { fileError } from "../../io/file-errors.ts";
import { type OpenDatasetOptions, openDataset } from "../readers/open-dataset.ts";
import { decodeSquare, fitTitles, type SquareFit } from "./pictures.ts";
import type { Recipe, RecipeSample } from "./recipe.ts";

export interface OwnDatasetOptions extends OpenDatasetOptions {
  readonly name: string;
  readonly licence: string;
  readonly size: number;
  readonly fit: SquareFit;
}

/**
 * A recipe for a user's own data set, in any format that `openDataset` knows.
 *
 * @throws UserError as `openDataset`
 */
export async function ownDataset(path: string, options: OwnDatasetOptions): Promise<Recipe> {
  const { name, licence, size, fit } = options;
  let leaveOut: (reason: string) => void = () => undefined;
  const opened = await openDataset(path, {
    ...options,
    ...(options.onProblem && {
      onProblem(problem) {
        leaveOut("row not usable");
        options.onProblem?.(problem);
      },
    }),
  });
  async function* samples(): AsyncGenerator<RecipeSample> {
    for await (const { key, image, texts, label } of opened.records()) {
      const decode = async (side: number) => decodeSquare(await bytesOf(image), side, fit, key);
      yield { key, texts, ...(label !== undefined && { label }), decode };
    }
  }
  return {
    name,
    summary: `own data, ${opened.format}`,
    licence,
    source: opened.path,
    role: "training",
    size,
    fit: fitTitles[fit],
    packages: [],
    samples(context) {
      leaveOut = context.leaveOut;
      return samples();
    },
  };
}

async function bytesOf(image: string | Uint8Array): Promise<Uint8Array> {
  if (typeof image !== "string") return image;
  return readFile(image).catch((error: unknown) => {
    throw fileError(image, error);
  });
}
