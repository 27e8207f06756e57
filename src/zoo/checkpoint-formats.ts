import { UserError } from "../core/errors.ts";
import type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";
import { CheckpointFolder } from "./checkpoint-folder.ts";
import { clipHuggingFace } from "./clip-huggingface.ts";
import { clipOpenAi } from "./clip-openai.ts";
import { detectorFileSchema } from "./detector-config.ts";
import { isDetectorFolder } from "./detector-files.ts";
import { florenceCheckpoint } from "./florence-checkpoint.ts";
import { openClip } from "./open-clip.ts";
import { resizeCheckpoint } from "./resize-checkpoint.ts";
import { siglip } from "./siglip.ts";
import { unicl } from "./unicl.ts";

export interface ReadOptions {
  /** Side of the square that pictures become, pixels; the checkpoint's own if it is left out. */
  readonly imageSize?: number | undefined;
}

/** Every family of checkpoints that can be read; the first that recognizes a folder reads it. */
export const checkpointFormats: readonly CheckpointFormat[] = [
  florenceCheckpoint,
  clipHuggingFace,
  siglip,
  openClip,
  unicl,
  clipOpenAi,
];

/** The family that reads a folder, by its file names and configuration; undefined if none does. */
export async function formatOf(folder: CheckpointFolder): Promise<CheckpointFormat | undefined> {
  for (const format of checkpointFormats) if (await format.recognizes(folder)) return format;
  return undefined;
}

/**
 * Reads a checkpoint folder of any known family, for pictures of another size if one is asked for.
 *
 * @throws UserError `unsupported` listing the families when none recognizes the folder; as {@link resizeCheckpoint}
 */
export async function readCheckpoint(path: string, { imageSize }: ReadOptions = {}): Promise<Checkpoint> {
  const folder = await CheckpointFolder.open(path);
  const format = await formatOf(folder);
  if (format) return resizeCheckpoint(await format.read(folder), imageSize);
  if (await isDetectorFolder(path)) {
    const rule = `${folder.pathOf("config.json")}: must be an image–text model, got a detector`;
    throw new UserError("unsupported", `${rule}. Name it by --detector, and the model that it was made on by --model.`);
  }
  throw await unknownFamily(folder);
}

/**
 * Reads all of a model or detector but its weights, which need not be there yet.
 *
 * @param coming  names of the files that are not there yet
 * @throws UserError as {@link readCheckpoint} and `loadDetector` for a folder whose other files they could not read
 */
export async function checkConfiguration(path: string, coming: Iterable<string> = []): Promise<void> {
  const folder = await CheckpointFolder.open(path, coming);
  const format = await formatOf(folder);
  if (format) await format.checkConfiguration?.(folder);
  else if (await isDetectorFolder(path)) await folder.parse("config.json", detectorFileSchema);
  else throw await unknownFamily(folder);
}

async function unknownFamily(folder: CheckpointFolder): Promise<UserError> {
  const hasConfig = folder.files.has("config.json");
  if (hasConfig) await folder.json("config.json"); // damaged JSON has an error of its own
  const subject = hasConfig ? folder.pathOf("config.json") : folder.path;
  const families = checkpointFormats.map(({ family }) => family).join("; ");
  const stated = await folder.field("config.json", "model_type");
  const got = typeof stated === "string" ? `model_type "${stated}"` : "neither a model_type nor a format it knows";
  return new UserError("unsupported", `${subject}: must be of a known family (${families}), got ${got}.`);
}
