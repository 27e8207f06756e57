/// <reference lib="dom" preserve="true" />
import * as ort from "onnxruntime-web/wasm";
import type { z } from "zod";
import { UserError } from "../core/errors.ts";
import { exportedModelFile } from "../models/exported-model.ts";
import type { CallOptions } from "./aborting.ts";
import { fetchFile } from "./fetch-file.ts";

export interface LoadOptions {
  /** Where onnxruntime-web's .wasm file lies, if the bundler does not place it beside the script. */
  readonly wasmPaths?: string | { readonly mjs?: string; readonly wasm?: string };
  /** Threads of onnxruntime-web; more than one needs a cross-origin isolated page. */
  readonly threads?: number;
  /** An abort rejects with the signal's reason. Later calls take their own. */
  readonly signal?: AbortSignal | undefined;
}

export interface ExportedFolder<Description> {
  readonly folder: URL;
  readonly description: Description;
}

/**
 * A folder that `florence export` wrote, and what it says of itself.
 *
 * @throws UserError naming the file that is missing or not as it should be; the signal's reason after an abort
 */
export async function openExportedFolder<Schema extends z.ZodType>(
  address: string | URL,
  schema: Schema,
  remedy: string,
  { wasmPaths, threads, signal }: LoadOptions,
): Promise<ExportedFolder<z.infer<Schema>>> {
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths as string;
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  const folder = new URL(`${String(address).replace(/\/+$/, "")}/`, globalThis.location?.href);
  const path = new URL(exportedModelFile, folder).href;
  const parsed = schema.safeParse(parseJson(await fetchFile(path, (response) => response.text(), { signal })));
  if (parsed.success) return { folder, description: parsed.data };
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || "the whole";
  throw new UserError("unsupported", `${path}: ${field} is not right: ${issue?.message}. ${remedy}`);
}

/** Fetches a file of the folder and makes a session of it. @throws UserError naming it; the signal's reason */
export async function createSession(folder: URL, file: string, options: CallOptions): Promise<ort.InferenceSession> {
  const bytes = await fetchFile(new URL(file, folder).href, (response) => response.arrayBuffer(), options);
  options.signal?.throwIfAborted(); // what follows cannot be stopped
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
}

/** Nothing for what is no JSON: the schema then says that the whole is not right. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
