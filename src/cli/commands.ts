import type { CliCommand } from "./command.ts";
import { calibrateCommand } from "./commands/calibrate.ts";
import { classifyCommand } from "./commands/classify.ts";
import { dataCommand } from "./commands/data.ts";
import { detectCommand } from "./commands/detect.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { embedCommand } from "./commands/embed.ts";
import { evalCommand } from "./commands/eval.ts";
import { evalDetectionCommand } from "./commands/eval-detection.ts";
import { exportCommand } from "./commands/export.ts";
import { exposureCommand } from "./commands/exposure.ts";
import { exposureDetectionCommand } from "./commands/exposure-detection.ts";
import { labelCommand } from "./commands/label.ts";
import { modelsCommand } from "./commands/models.ts";
import { pretrainCommand } from "./commands/pretrain.ts";
import { searchCommand } from "./commands/search.ts";
import { tuneCommand } from "./commands/tune.ts";
import { tuneDetectionCommand } from "./commands/tune-detection.ts";

/** Every command, in the order of `florence --help`. */
export const commands: readonly CliCommand[] = [
  classifyCommand,
  detectCommand,
  searchCommand,
  embedCommand,
  labelCommand,
  evalCommand,
  evalDetectionCommand,
  exposureCommand,
  exposureDetectionCommand,
  calibrateCommand,
  pretrainCommand,
  tuneCommand,
  tuneDetectionCommand,
  dataCommand,
  modelsCommand,
  exportCommand,
  doctorCommand,
];
