import { type Command, Option } from "commander";
import { UserError } from "../../core/errors.ts";
import { isDetectorFolder } from "../../zoo/detector-files.ts";
import { exportDetectorFolder, exportDetectorOnnx } from "../../zoo/export-detector.ts";
import { type ExportRequest, exportCheckpoint, exportOnnx, type Towers } from "../../zoo/export-model.ts";
import { requireTarget } from "../../zoo/export-target.ts";
import { loadDetector } from "../../zoo/load-detector.ts";
import { addJsonOption, addModelOption, defineCommand, type JsonOption, type ModelOption } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { exitCodes } from "../exit-codes.ts";
import { fingerprintOf } from "../model-lookup.ts";
import { PhaseLog } from "../phase-log.ts";

interface ExportCommandOptions extends ModelOption, JsonOption {
  readonly out: string;
  readonly format: "onnx" | "safetensors";
  readonly precision?: "float32" | "float16" | "int8";
  readonly towers: Towers;
  readonly force?: boolean;
}

/** `florence export`: a model or detector as ONNX files, or as a checkpoint folder of our own. */
export const exportCommand = defineCommand<[], ExportCommandOptions>({
  name: "export",
  summary: "Write a model as ONNX files or as a checkpoint folder",
  details:
    "ONNX files take any batch, run in any ONNX Runtime (Node, browser, Python, …) and are checked against the model " +
    "before the folder appears. A detector's folder gives one file, from pictures to boxes and scores.",
  examples: [
    { line: "florence export --out nano-onnx --format onnx", does: "both towers, for ONNX Runtime and florence/web" },
    { line: "florence export --out nano-onnx --format onnx --towers image", does: "the image encoder alone" },
    { line: "florence export --out nano-int8 --precision int8", does: "linear layers in bytes: 32 MB instead of 73" },
    {
      line: "florence export -m runs/fish/model --out fish-onnx",
      does: "a detector: pictures in, boxes and scores out",
    },
    {
      line: "florence export -m ./clip --out ./clip-florence --format safetensors",
      does: "another family's model in our layout",
    },
  ],
  configure(command: Command) {
    command.requiredOption("-o, --out <dir>", "the folder to write");
    command.addOption(
      new Option("--format <format>", "what to write").choices(["onnx", "safetensors"]).default("onnx"),
    );
    command.addOption(
      new Option(
        "--precision <type>",
        "of the numbers; onnx: float32 or int8, safetensors: float16 unless float32 is asked for",
      ).choices(["float32", "float16", "int8"]),
    );
    command.addOption(new Option("--towers <which>", "onnx only").choices(["image", "text", "both"]).default("both"));
    command.option("--force", "replace the folder if it is empty, a model or an export");
    addJsonOption(addModelOption(command));
  },

  async run(context, _, { model: name, out: target, format, precision, towers, force, json }) {
    if (format === "onnx" && precision === "float16") {
      const rule = "export: ONNX files are float32 or int8, got --precision float16";
      throw new UserError("bad-argument", `${rule}. Leave it out.`);
    }
    if (format === "safetensors" && precision === "int8") {
      const rule = "export: a checkpoint is float16 or float32, got --precision int8";
      throw new UserError("bad-argument", `${rule}. Load it with --precision int8 instead.`);
    }
    if (format === "safetensors" && towers !== "both") {
      throw new UserError(
        "bad-argument",
        `export: a checkpoint holds both towers, got --towers ${towers}. Leave it out.`,
      );
    }
    const source = await context.modelFolder(name);
    const computing = precision === "int8" ? "int8" : "float32";
    if (await isDetectorFolder(source)) {
      if (towers !== "both") {
        throw new UserError("bad-argument", `export: a detector has no towers, got --towers ${towers}. Leave it out.`);
      }
      return exportDetector(context, { source, target, force: Boolean(force), format, precision, json: Boolean(json) });
    }
    const { signal } = context;
    await requireTarget({ target, force }, [source]); // before the model is loaded
    using phases = new PhaseLog(context.log, "export");
    phases.show("loading the model");
    const model = await context.loadModel(name, { precision: computing, signal });
    try {
      const request: ExportRequest = { source, model, target, force: Boolean(force), signal, onPhase: phases.show };
      const result =
        format === "onnx"
          ? await exportOnnx(request, towers, computing)
          : await exportCheckpoint(request, precision === "float32" ? "F32" : "F16");
      // In float16 the written model is another; ONNX files keep that of the model they were checked against.
      const fingerprint = format === "onnx" ? model.fingerprint : await fingerprintOf(context, target);
      const checked =
        result.lowestCosine === undefined ? "" : `  (checked: cosine ≥ ${result.lowestCosine.toFixed(6)})`;
      await context.print(
        json
          ? JSON.stringify({ folder: target, fingerprint, ...result })
          : `${target}: ${result.files.join(", ")}${checked}`,
      );
      return exitCodes.ok;
    } finally {
      await model.dispose();
    }
  },
});

interface DetectorExport extends Pick<ExportCommandOptions, "format" | "precision"> {
  readonly source: string;
  readonly target: string;
  readonly force: boolean;
  readonly json: boolean;
}

async function exportDetector(
  context: CommandContext,
  { source, target, force, format, precision, json }: DetectorExport,
): Promise<number> {
  const computing = precision === "int8" ? "int8" : "float32";
  const { signal } = context;
  await requireTarget({ target, force }, [source]);
  using phases = new PhaseLog(context.log, "export");
  phases.show("loading the detector");
  const detector = await loadDetector(source, { precision: computing, signal });
  try {
    const request = { source, detector, target, force, signal, onPhase: phases.show };
    const result =
      format === "onnx"
        ? await exportDetectorOnnx(request, computing)
        : await exportDetectorFolder(request, precision === "float32" ? "F32" : "F16");
    const { files, lowestIou } = result;
    const checked = lowestIou === undefined ? "" : `  (checked: IoU of boxes ≥ ${lowestIou.toFixed(4)})`;
    await context.print(
      json ? JSON.stringify({ folder: target, ...result }) : `${target}: ${files.join(", ")}${checked}`,
    );
    return exitCodes.ok;
  } finally {
    await detector.dispose();
  }
}
