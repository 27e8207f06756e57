import { UserError } from "../../core/errors.ts";
import { readTarEntries } from "../../io/archives.ts";
import { imageExtensions } from "../../io/file-walk.ts";
import { type ColumnNames, resolveColumns, rowTexts } from "./columns.ts";
import { type DatasetRecord, type ReaderOptions, reportProblem, rowError } from "./record.ts";
import { parseJsonObject } from "./tables.ts";

export interface WebdatasetOptions extends ReaderOptions {
  /** Fields of the `.json` members. */
  readonly columns?: ColumnNames;
}

/** The members of one sample so far: all consecutive entries that share the name up to its first dot. */
interface Sample {
  readonly key: string;
  readonly members: Map<string, Uint8Array>; // by the rest of the name after that dot, lower case
}

/**
 * Samples of webdataset tars, in order: an image, and any of `txt` (a caption), `json` (texts and label by the usual
 * field names) and `cls` (a label). A damaged tar is a problem, named; its whole samples before the damage are given.
 */
export async function* readWebdataset(
  tarPaths: readonly string[],
  options: WebdatasetOptions = {},
): AsyncGenerator<DatasetRecord> {
  for (const path of tarPaths) {
    try {
      for await (const sample of readSamples(path)) {
        options.signal?.throwIfAborted();
        const record = sampleRecord(path, sample, options);
        if (record) yield record;
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reportProblem(options, path, error);
    }
  }
}

/** Groups a tar's entries. The last sample before a damage is dropped, as it may lack members. */
async function* readSamples(path: string): AsyncGenerator<Sample> {
  let sample: Sample | undefined;
  for await (const { name, bytes } of readTarEntries(path)) {
    const base = name.slice(name.lastIndexOf("/") + 1);
    const dot = base.indexOf(".");
    if (dot <= 0) continue; // no member of a sample: a dot file, or a name without an ending
    const key = name.slice(0, name.length - base.length + dot);
    if (sample && sample.key !== key) {
      yield sample;
      sample = undefined;
    }
    sample ??= { key, members: new Map() };
    sample.members.set(base.slice(dot + 1).toLowerCase(), bytes);
  }
  if (sample) yield sample;
}

function sampleRecord(path: string, { key, members }: Sample, options: WebdatasetOptions): DatasetRecord | undefined {
  const place = `${path}:${key}`;
  try {
    const image = [...members].find(([ending]) => imageExtensions.has(ending.slice(ending.lastIndexOf(".") + 1)));
    if (!image) throw rowError(place, `must have an image, got ${[...members.keys()].join(", ")}`);
    const { texts, label } = sampleTexts(place, members, options.columns ?? {});
    return { key, image: image[1], texts, ...(label !== undefined && { label }) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    reportProblem(options, place, error);
    return undefined;
  }
}

/** `txt` and `cls` win over the fields of `json`. */
function sampleTexts(place: string, members: ReadonlyMap<string, Uint8Array>, columns: ColumnNames) {
  const decode = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes).trim();
  const json = decode(members.get("json"));
  const fields = json === undefined ? {} : parseJsonObject(json);
  if (!fields) throw rowError(place, "json must be one JSON object, got other text");
  const resolved = resolveColumns(Object.keys(fields), columns, place);
  const text = decode(members.get("txt"));
  const label = decode(members.get("cls"));
  const own = { ...fields, ...(text !== undefined && { txt: text }), ...(label !== undefined && { cls: label }) };
  const wanted = {
    ...resolved,
    ...(text !== undefined && { texts: ["txt"] }),
    ...(label !== undefined && { label: "cls" }),
  };
  return rowTexts(own, wanted, place);
}
