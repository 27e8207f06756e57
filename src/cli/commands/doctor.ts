import { join } from "node:path";
import type { Command } from "commander";
import { UserError } from "../../core/errors.ts";
import { rgbImage } from "../../core/image.ts";
import { decodeImage } from "../../io/images.ts";
import { bundledModelNames } from "../../zoo/bundled-models.ts";
import type { FlorenceModel } from "../../zoo/florence-model.ts";
import { compareGoldenVectors, readGoldenVectors } from "../../zoo/golden-vectors.ts";
import {
  addJsonOption,
  addModelOption,
  bundledDetector,
  bundledModel,
  defineCommand,
  type JsonOption,
  type ModelOption,
} from "../command.ts";
import type { CommandContext } from "../context.ts";
import { checkCache, checkMemory, checkNode, checkRuntime, checkSharp, checkThreads } from "../environment-checks.ts";
import { exitCodes } from "../exit-codes.ts";

/** One line of the doctor's report. */
interface CheckResult {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

const goldenCosine = 0.9999;

/** `florence doctor`: whether everything that florence needs works here. */
export const doctorCommand = defineCommand<[], ModelOption & JsonOption>({
  name: "doctor",
  summary: "Check that everything florence needs works on this machine",
  details:
    "Ends with a comparison of this machine's embeddings with the ones published with the model. " +
    "Exit code 1 when a check fails.",
  examples: [
    { line: "florence doctor", does: "check with the bundled model" },
    { line: "florence doctor --model ./my-checkpoint --json", does: "another model, for programs" },
  ],
  configure(command: Command) {
    addJsonOption(addModelOption(command));
  },

  async run(context, _positionals, { model: modelName, json }) {
    let failures = 0;
    const report = async (check: string, examine: () => string | Promise<string>): Promise<void> => {
      const result = await attempt(check, examine);
      if (!result.ok) failures++;
      await context.print(json ? JSON.stringify(result) : oneLine(result, context));
    };
    await report("node", checkNode);
    await report("onnxruntime", checkRuntime);
    await report("sharp", checkSharp);
    await report("threads", checkThreads);
    await report("memory", checkMemory);
    await report("cache folder", () => checkCache(context.cacheFolder));

    let model: FlorenceModel | undefined;
    try {
      await report("model", async () => {
        const started = performance.now();
        model = await context.loadModel(modelName, { signal: context.signal });
        const milliseconds = Math.round(performance.now() - started);
        return `${model.name}, ${model.embedDim} dimensions, fingerprint ${model.fingerprint.slice(0, 12)}, ${milliseconds} ms`;
      });
      const loaded = model;
      if (loaded) await report("golden vectors", () => checkGolden(loaded, context, modelName));
    } finally {
      await model?.dispose();
    }
    if (modelName === bundledModel) await report("detector", () => checkDetector(context));
    return failures === 0 ? exitCodes.ok : exitCodes.internal;
  },
});

async function checkDetector({ signal }: CommandContext): Promise<string> {
  const started = performance.now();
  const { loadDetector } = await import("../../zoo/load-detector.ts");
  const detector = await loadDetector(bundledDetector, { signal });
  try {
    const [{ scores }] = await detector.detect([rgbImage(64, 64, new Uint8Array(64 * 64 * 3).fill(128))], { signal });
    if (!scores.every((score) => score >= 0 && score <= 1)) throw new Error("scores must be from 0 to 1");
    const milliseconds = Math.round(performance.now() - started);
    return `${detector.name}, fingerprint ${detector.fingerprint.slice(0, 12)}, loaded and run in ${milliseconds} ms`;
  } finally {
    await detector.dispose();
  }
}

async function attempt(check: string, examine: () => string | Promise<string>): Promise<CheckResult> {
  try {
    return { check, ok: true, detail: await examine() };
  } catch (error) {
    return { check, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

async function checkGolden(model: FlorenceModel, context: CommandContext, modelName: string): Promise<string> {
  const folder = await context.modelFolder(modelName);
  const isBundled = (await bundledModelNames(join(context.packageFolder, "weights"))).includes(modelName);
  const golden = await readGoldenVectors(folder).catch((error: unknown) => {
    const isMissing = error instanceof UserError && error.code === "not-found";
    if (isBundled || !isMissing) throw error;
    return undefined; // a model of the user's own need not have any, but damaged ones are told of
  });
  if (!golden) return "none published with this model";
  const { compared, lowestCosine, lowestOf } = await compareGoldenVectors(model, golden, folder, decodeImage, {
    signal: context.signal,
  });
  const detail = `${compared} compared, lowest cosine ${lowestCosine.toFixed(6)} (${lowestOf})`;
  if (!(lowestCosine >= goldenCosine)) throw new Error(`${detail}, must be at least ${goldenCosine}`);
  return detail;
}

function oneLine({ check, ok, detail }: CheckResult, { colors }: CommandContext): string {
  return `${ok ? colors.green("ok  ") : colors.red("FAIL")}  ${check}: ${detail}`;
}
