import { resolve } from "node:path";
import { UserError } from "../core/errors.ts";
import { readAdapter } from "../zoo/adapter-files.ts";
import { mergeAdapterFolder } from "../zoo/merge-adapter.ts";
import type { CommandContext } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";
import { fingerprintOf } from "./model-lookup.ts";

export interface MergeOptions {
  readonly model?: string;
  readonly out?: string;
  readonly precision?: "float16" | "float32";
  readonly force?: boolean;
}

/** `florence models merge ADAPTER --out DIR`: a full checkpoint of a model and its low-rank adapters. */
export async function mergeModel(
  context: CommandContext,
  adapter: string,
  { model, out, precision = "float32", force = false }: MergeOptions,
  json: boolean,
): Promise<number> {
  if (out === undefined) {
    throw new UserError("bad-argument", "models merge: --out DIR is needed, got none. Say where the model goes.");
  }
  const { base } = await readAdapter(adapter);
  const name = model ?? base.name;
  const folder = await context.modelFolder(name);
  const fingerprint = await fingerprintOf(context, name);
  const target = resolve(out);
  await mergeAdapterFolder({
    ...{ adapter, target, force, signal: context.signal },
    base: { name, fingerprint, folder },
    dtype: precision === "float16" ? "F16" : "F32",
  });
  const merged = await fingerprintOf(context, target); // reads back what was written, strictly
  await context.print(
    json
      ? JSON.stringify({ folder: target, fingerprint: merged, base: { name, fingerprint }, adapter, precision })
      : `${target}: ${name} with ${adapter} merged in, ${precision}, fingerprint ${merged.slice(0, 12)}`,
  );
  return exitCodes.ok;
}
