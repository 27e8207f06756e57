import { readFile } from "node:fs/promises";
import { fileError } from "../../io/file-errors.ts";
import { type OpenDatasetOptions, openDataset } from "../readers/open-dataset.ts";
import type { DatasetProblem } from "../readers/record.ts";
import { decodeSquare, fitTitles, type SquareFit } from "./pictures.ts";
import type { Recipe, RecipeSample } from "./recipe.ts";

export interface OwnDatasetOptions extends OpenDatasetOptions {
  readonly name: string;
  readonly licence: string;
  readonly size: number;
  readonly fit: SquareFit;
}

/** A recipe for a user's own data set, in any format that `openDataset` knows; its samples throw as that does. */
export function ownDataset(path: string, options: OwnDatasetOptions): Recipe {
  const { name, licence, size, fit, onProblem } = options;
  return {
    name,
    summary: "own data",
    licence,
    source: options.split === undefined ? path : `${path}, split ${options.split}`,
    role: "training",
    size,
    fit: fitTitles[fit],
    packages: [],
    async *samples({ leaveOut }): AsyncGenerator<RecipeSample> {
      const report = (problem: DatasetProblem): void => {
        leaveOut("row not usable");
        onProblem?.(problem);
      };
      const opened = await openDataset(path, { ...options, ...(onProblem && { onProblem: report }) });
      for await (const { key, image, texts, label } of opened.records()) {
        const title = typeof image === "string" ? image : `${path}: ${key}`;
        const decode = async (side: number) => decodeSquare(await bytesOf(image), side, fit, title);
        yield { key, texts, ...(label !== undefined && { label }), decode };
      }
    },
  };
}

async function bytesOf(image: string | Uint8Array): Promise<Uint8Array> {
  if (typeof image !== "string") return image;
  return readFile(image).catch((error: unknown) => {
    throw fileError(image, error);
  });
}
