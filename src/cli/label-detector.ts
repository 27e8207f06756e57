import type { NamingMethod } from "../evaluation/detection-settings.ts";
import { openDetection } from "../evaluation/open-detection.ts";
import { walkImageFiles } from "../io/file-walk.ts";
import { detectFound } from "../tasks/detection/detection.ts";
import type { DetectFiles } from "../tasks/detection/labelling/label-folder.ts";
import type { FlorenceModel } from "../zoo/florence-model.ts";
import { loadDetector } from "../zoo/load-detector.ts";
import type { CommandContext } from "./context.ts";

export interface LabelDetectorOptions {
  readonly detector: string; // folder
  readonly model: string; // names what a class-agnostic detector finds, and embeds labels for one of text classes
  readonly labels: readonly string[];
  readonly method?: NamingMethod | undefined;
  readonly minScore: number;
}

/** Something that labels files, and what decides its labels. */
export interface LabelDetector {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly detect: DetectFiles;
  dispose(): Promise<void>;
}

/**
 * Opens what `florence detect` would find boxes with, for files to be labelled.
 *
 * @throws UserError: bad-argument for labels that it has no class for, mismatch if it was made with another model
 */
export async function openLabelDetector(
  context: CommandContext,
  { detector: name, model: modelName, labels, method, minScore }: LabelDetectorOptions,
): Promise<LabelDetector> {
  const { cacheFolder, signal } = context;
  const detector = await loadDetector(await context.modelFolder(name), { signal });
  let model: FlorenceModel | undefined;
  const dispose = async (): Promise<void> => {
    await detector.dispose();
    await model?.dispose();
  };
  try {
    const opened = await openDetection({
      ...{ detector, labels, method, scoreThreshold: minScore, cacheFolder, signal, onWarning: context.log },
      loadModel: async () => {
        model = await context.loadModel(modelName, { signal });
        return model;
      },
    });
    const { scoreThreshold, ...settings } = opened.settings;
    return {
      settings: { ...settings, minScore: scoreThreshold },
      detect: (paths) => detectFound(filesAt(paths), { ...opened, signal }),
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function* filesAt(paths: AsyncIterable<string>) {
  for await (const path of paths) yield* walkImageFiles([path]);
}
