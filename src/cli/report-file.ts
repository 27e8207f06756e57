import { resolve } from "node:path";
import { ledgerReport } from "../evaluation/report/ledger-report.ts";
import { writeFileAtomic } from "../io/atomic-files.ts";
import type { CommandContext } from "./context.ts";
import { exitCodes } from "./exit-codes.ts";

/** Writes the HTML page about a ledger; damaged lines and lost details are reported and left out. */
export async function writeReport(
  context: CommandContext,
  ledgerPath: string,
  { out = "report.html", json }: { readonly out?: string; readonly json?: boolean },
): Promise<number> {
  const { html, scores, warnings } = await ledgerReport(ledgerPath);
  for (const warning of warnings) context.log(warning);
  const path = resolve(out);
  await writeFileAtomic(path, html);
  await context.print(
    json ? JSON.stringify({ report: path, scores, bytes: Buffer.byteLength(html) }) : `${scores} scores in ${path}`,
  );
  return warnings.length > 0 ? exitCodes.someFailed : exitCodes.ok;
}
