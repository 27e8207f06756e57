/// <reference lib="dom" preserve="true" />
import * as ort from "onnxruntime-web/wasm";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { exportedModelFile } from "../models/exported-model.ts";
import { fetchFile } from "./image-decoding.ts";

export interface LoadOptions {
  /** Where onnxruntime-web's .wasm file lies, if the bundler does not place it beside the script. */
  readonly wasmPaths?: string | { readonly mjs?: string; readonly wasm?: string };
  /** Threads of onnxruntime-web; more than one needs a cross-origin isolated page. */
  readonly threads?: number;
}

export interface ExportedFolder<Description> {
  readonly folder: URL;
  readonly description: Description;
}

/**
 * A folder that `florence export` wrote, and what it says of itself.
 *
 * @throws UserError naming the file that is missing or not as it should be
 */
export async function openExportedFolder<Schema extends z.ZodType>(
  address: string | URL,
  schema: Schema,
  remedy: string,
  { wasmPaths, threads }: LoadOptions,
): Promise<ExportedFolder<z.infer<Schema>>> {
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths as string;
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  const folder = new URL(`${String(address).replace(/\/+$/, "")}/`, globalThis.location?.href);
  const path = new URL(exportedModelFile, folder).href;
  const parsed = schema.safeParse(await (await fetchFile(path)).json().catch(() => undefined));
  if (parsed.success) return { folder, description: parsed.data };
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || "the whole";
  throw new UserError("unsupported", `${path}: ${field} is not right: ${issue?.message}. ${remedy}`);
}

/** Fetches a file of the folder and makes a session of it. */
export async function createSession(folder: URL, file: string): Promise<ort.InferenceSession> {
  const bytes = await (await fetchFile(new URL(file, folder).href)).arrayBuffer();
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
}
