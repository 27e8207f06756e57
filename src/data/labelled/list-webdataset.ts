import { UserError } from "../../core/errors.ts";
import { openPackedFile, type PackedFile } from "../../io/archives.ts";
import { imageExtensions } from "../../io/file-walk.ts";
import { indexTar, type TarMember } from "../../io/tar-index.ts";
import { unpackedFile } from "../../io/unpacked-files.ts";
import { resolveColumns, rowCaptions, rowLabels } from "../readers/columns.ts";
import { rowError } from "../readers/record.ts";
import { parseJsonObject } from "../readers/tables.ts";
import type { LabelledEntry, ListContext } from "./entry.ts";
import type { SplitName } from "./labelled-set.ts";
import { keyOfFile } from "./list-folder.ts";

/** The members of one sample so far, by the rest of their names after the first dot, lower case. */
interface Sample {
  readonly key: string;
  readonly members: Map<string, TarMember>;
  /** Endings that came more than once: which member is meant is not known. */
  readonly repeated: Set<string>;
}

/**
 * The samples of one webdataset tar: an image, and any of `cls` (labels), `txt` (a caption) and `json` (both, by the
 * usual field names). Only labels and texts are read; images stay where they are. A gzipped tar is unpacked into the
 * cache once.
 */
export async function* listWebdataset(
  tarPath: string,
  split: SplitName | undefined,
  context: ListContext,
): AsyncGenerator<LabelledEntry> {
  let tar: PackedFile;
  try {
    tar = await openPackedFile(await unpackedFile(tarPath, context.cacheFolder));
  } catch (error) {
    context.report(tarPath, error);
    return;
  }
  const shard = keyOfFile(tarPath, context.root).replace(/\.(tar|tar\.gz|tgz)$/i, "");
  try {
    for await (const sample of samplesOf(tar.path)) {
      context.signal?.throwIfAborted();
      const place = `${tarPath}:${sample.key}`;
      let entry: LabelledEntry;
      try {
        entry = { ...(await readSample(tar, sample, place, context)), key: `${shard}/${sample.key}`, split };
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        context.report(place, error);
        continue;
      }
      yield entry;
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    context.report(tarPath, error);
  } finally {
    await tar.close();
  }
}

/** Groups the members of a tar. The last sample before a damage is dropped, as it may lack members. */
async function* samplesOf(path: string): AsyncGenerator<Sample> {
  let sample: Sample | undefined;
  for await (const member of indexTar(path)) {
    const base = member.name.slice(member.name.lastIndexOf("/") + 1);
    const dot = base.indexOf(".");
    if (dot <= 0) continue; // no member of a sample: a dot file, or a name without an ending
    const key = member.name.slice(0, member.name.length - base.length + dot);
    if (sample && sample.key !== key) {
      yield sample;
      sample = undefined;
    }
    sample ??= { key, members: new Map(), repeated: new Set() };
    const ending = base.slice(dot + 1).toLowerCase();
    if (sample.members.has(ending)) sample.repeated.add(ending);
    sample.members.set(ending, member);
  }
  if (sample) yield sample;
}

async function readSample(
  tar: PackedFile,
  { members, repeated }: Sample,
  where: string,
  { columns = {} }: ListContext,
): Promise<Pick<LabelledEntry, "place" | "labels" | "texts" | "where" | "isBlank">> {
  if (repeated.size > 0) {
    const rule = `must have one member of each ending, got several of ${[...repeated].join(", ")}`;
    throw rowError(where, `${rule}; give each picture a name of its own`);
  }
  const image = [...members].find(([ending]) => imageExtensions.has(ending.slice(ending.lastIndexOf(".") + 1)))?.[1];
  if (!image) throw rowError(where, `must have an image, got ${[...members.keys()].join(", ")}`);
  const textOf = async (ending: string): Promise<string | undefined> => {
    const member = members.get(ending);
    return member && new TextDecoder().decode(await tar.read(member.offset, member.length)).trim();
  };
  const json = await textOf("json");
  const fields = json === undefined ? {} : parseJsonObject(json);
  if (!fields) throw rowError(where, "json must be one JSON object, got other text");
  const resolved = resolveColumns(Object.keys(fields), columns, where);
  const [text, cls] = [await textOf("txt"), await textOf("cls")]; // these win over the fields of `json`
  const texts = text === undefined ? rowCaptions(fields, resolved, where) : text === "" ? [] : [text];
  const hasLabels = cls !== undefined || resolved.label !== undefined;
  const labels = rowLabels(cls ?? (resolved.label && fields[resolved.label]), "cls", where);
  if (!hasLabels && texts.length === 0) throw rowError(where, "must have a text or a label, got neither");
  const isBlank = labels.length === 0 && texts.length === 0;
  const place = { kind: "range", path: tar.path, offset: image.offset, length: image.length } as const;
  return { place, labels, texts, where, ...(isBlank && { isBlank }) };
}
