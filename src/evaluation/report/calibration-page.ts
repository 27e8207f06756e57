import { UserError } from "../../core/errors.ts";
import type { CalibrateOptions, FinishedCalibration } from "../calibration/calibrate.ts";
import { rocPoints } from "../calibration/calibration-entries.ts";
import type { CalibrationMeasures, ProbabilityMeasures } from "../calibration/measure-calibration.ts";
import type { EvaluationExample } from "../evaluation-details.ts";
import type { EvaluationContext } from "../evaluation-task.ts";
import { drawExamples } from "../example-pictures.ts";
import { reliabilitySvg, rocSvg } from "./classification-plots.ts";
import { type Markup, Markup as MarkupText, markup } from "./markup.ts";
import { pageStyle } from "./page-style.data.ts";
import { scoreHistogramSvg } from "./score-histogram.ts";
import { percent } from "./scores-table.ts";

const examplesShown = 12;

/** One self-contained page about a calibration: reliability before and after, the ROC of its rejection, mistakes. */
export async function calibrationPage(
  { model, set }: Pick<EvaluationContext, "model" | "set">,
  finished: FinishedCalibration,
  options: CalibrateOptions,
): Promise<string> {
  const { heldOut, fittedOn, calibration, failed } = finished;
  const { before, after, pictures, outside, top1 } = heldOut;
  const content = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Calibration of ${model.name} on ${set.name}</title>
<style>${new MarkupText(pageStyle)}</style>
</head>
<body>
<h1>Calibration of ${model.name} on ${set.name}</h1>
<p>Temperature ${(1 / calibration.correction.scale).toFixed(3)}${options.withBias && " and a bias for each label"}, fitted on ${fittedOn.pictures} pictures. All that follows was measured on ${pictures} others (${options.labels.length} labels, top-1 ${percent(top1)}).</p>
<p class="quiet">model ${model.fingerprint.slice(0, 16)} · data ${set.fingerprint.slice(0, 16)} · seed ${options.seed} · ${options.templates.length} templates. Intervals are 95 %.</p>
${failed > 0 && markup`<p class="note">${failed} pictures could not be used.</p>`}
<h2>Probabilities</h2>
<p>Calibration error <b>${percent(before.calibrationError)}</b> before, <b>${percent(after.calibrationError)}</b> after (${percent(after.interval[0])} – ${percent(after.interval[1])}); negative log-likelihood ${before.negativeLogLikelihood.toFixed(3)} before, ${after.negativeLogLikelihood.toFixed(3)} after. A calibrated model lies on the diagonal; the area of a dot is the share of pictures in its bin of 15.</p>
<div class="plots">${reliability("Before", before)}${reliability("After", after)}</div>
${heldOut.rejections.length > 0 && rejectionSection(finished, options)}
${outside > 0 && (await exampleSections(heldOut, options.labels, calibration.rejection?.threshold ?? 0))}
</body>
</html>
`;
  return content.text;
}

function reliability(title: string, measures: ProbabilityMeasures): Markup {
  const bins = measures.reliability.filter(({ count }) => count > 0);
  return markup`<div><h3>${title}: error ${percent(measures.calibrationError)}</h3>${reliabilitySvg(bins)}</div>`;
}

function rejectionSection({ heldOut, draw, fittedOn }: FinishedCalibration, options: CalibrateOptions): Markup {
  const chosen = heldOut.rejections.find(({ isChosen }) => isChosen);
  if (!chosen) throw new UserError("corrupt", "Calibration page: a method must have been chosen, got none.");
  const { atThreshold, threshold, method } = chosen;
  const { unknown } = atThreshold;
  const origin = options.outside ? options.outside.set.name : "other classes of the set";
  const fallingShort = unknown && `${percent(1 - unknown.falseAcceptance)} of the outside pictures rejected`;
  return markup`<h2>None of these</h2>
<p>By <b>${method}</b>, a threshold of ${threshold.toPrecision(4)} learned for ${percent(options.acceptance)} true acceptance: ${percent(atThreshold.trueAcceptance)} of the ${heldOut.pictures} pictures of the labels accepted${fallingShort && `, ${fallingShort}`}.</p>
${
  unknown &&
  markup`<p class="quiet">${heldOut.outside} outside pictures of ${origin}, divided ${draw.outsideDivision} from the ${fittedOn.outside} that were fitted on. Rejecting by chance would reject ${percent(1 - options.acceptance)}.</p>
<div class="plots"><div><h3>ROC: area ${unknown.areaUnderRoc.toFixed(3)}</h3>${rocSvg(
    { points: rocPoints(unknown.roc), area: unknown.areaUnderRoc, of: "pictures" },
    {
      others: heldOut.rejections.flatMap(({ isChosen, method: name, atThreshold: { unknown: own } }) =>
        isChosen || !own ? [] : [{ name, points: rocPoints(own.roc) }],
      ),
      mark: {
        point: [unknown.falseAcceptance, atThreshold.trueAcceptance],
        words: `the threshold: ${percent(atThreshold.trueAcceptance)} of the labels' pictures accepted, ${fallingShort}`,
      },
    },
  )}<p class="quiet">green: ${method}; grey: the others; dot: the threshold</p></div>
<div><h3>Scores</h3>${scoreHistogramSvg(heldOut.scored, threshold)}<p class="quiet">blue: of the labels; orange: outside; line: the threshold</p></div></div>`
}
${methodTable(heldOut, options.acceptance)}`;
}

function methodTable({ rejections }: CalibrationMeasures, acceptance: number): Markup {
  return markup`<div class="scroll"><table><thead><tr><th>method</th><th class="number">area under ROC</th><th>95 % interval</th><th class="number">rejected at ${percent(acceptance)} true acceptance</th><th class="number">at its threshold: accepted</th><th class="number">rejected</th></tr></thead><tbody>${rejections.map(
    ({ method, isChosen, atThreshold: { trueAcceptance, unknown }, rejectedAtAcceptance }) =>
      markup`<tr><td>${isChosen ? markup`<b>${method}</b> (chosen on the fitted pictures)` : method}</td><td class="number">${unknown?.areaUnderRoc.toFixed(3)}</td><td>${unknown && `${unknown.areaInterval[0].toFixed(3)} – ${unknown.areaInterval[1].toFixed(3)}`}</td><td class="number">${rejectedAtAcceptance !== undefined && percent(rejectedAtAcceptance)}</td><td class="number">${percent(trueAcceptance)}</td><td class="number">${unknown && percent(1 - unknown.falseAcceptance)}</td></tr>`,
  )}</tbody></table></div>`;
}

/** Outside pictures that pass for a label most surely, and pictures of the labels that are most surely turned away. */
async function exampleSections(
  { scored }: CalibrationMeasures,
  labels: readonly string[],
  threshold: number,
): Promise<Markup> {
  const draw = async (isInside: boolean): Promise<EvaluationExample[]> => {
    const wrong = scored.filter(
      ({ picture, score }) => picture.label >= 0 === isInside && score >= threshold !== isInside,
    );
    const worst = wrong.toSorted((a, b) => (isInside ? a.score - b.score : b.score - a.score)).slice(0, examplesShown);
    const drawn = [];
    for (const { picture, score, answer } of worst) {
      const choice = {
        image: picture.image,
        caption: picture.group,
        answer: isInside ? `rejected (${labels[answer]})` : labels[answer],
        score,
      };
      drawn.push(...(await drawExamples(picture, [choice])));
    }
    return drawn;
  };
  return markup`${figures("Outside pictures that pass", await draw(false))}${figures("Pictures of the labels turned away", await draw(true))}`;
}

function figures(title: string, examples: readonly EvaluationExample[]): Markup | undefined {
  if (examples.length === 0) return undefined;
  return markup`<h3>${title}</h3><div class="pictures">${examples.map(
    ({ key, jpeg, caption, answer, score }) =>
      markup`<figure title="${key}"><img alt="${caption}" src="data:image/jpeg;base64,${jpeg}"><figcaption>${caption}<br><span class="wrong">${answer}</span> <span class="quiet">${score.toPrecision(3)}</span></figcaption></figure>`,
  )}</div>`;
}
