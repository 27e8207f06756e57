import { dirname, relative, resolve, sep } from "node:path";
import { encodeXML } from "entities";
import { writeAtomically } from "../../../io/atomic-files.ts";
import { classColour } from "../../../io/draw-boxes.ts";
import { labelPlaces } from "../class-prompts.ts";
import { pathOf } from "./label-folder.ts";
import { type LabelledPicture, readJournal } from "./label-journal.ts";
import { reviewScript, reviewStyle } from "./review-page.data.ts";

export interface ReviewPageOptions {
  readonly folder: string; // of the pictures, which the page shows from where they are
  readonly journalPath: string;
  readonly labels: readonly string[];
  readonly title: string;
  /** Paths of pictures that are not shown. */
  readonly leftOut?: ReadonlySet<string>;
  /** Tells this labelling from others: decisions are kept in the browser under it. */
  readonly identity: string;
}

const colourCount = 12;

/**
 * Writes a page to review labels on: boxes drawn over the pictures, the least sure first, by score and label; pictures
 * and boxes are accepted or rejected, and the decisions saved as JSON. It asks nothing of the network.
 */
export async function writeReviewPage(path: string, options: ReviewPageOptions): Promise<void> {
  const { journalPath, labels, title, identity, leftOut } = options;
  const placeOf = labelPlaces(labels);
  const colours = Array.from({ length: colourCount }, (_, i) => classColour(i));
  const head = { labels, colours, identity };
  await writeAtomically(path, async (file) => {
    await file.appendFile(`${pageStart(title)}<script type="application/json" id="labels">`);
    await file.appendFile(`${inScript(head).slice(0, -1)},"pictures":[`);
    let isFirst = true;
    for await (const picture of readJournal(journalPath)) {
      if (leftOut?.has(pathOf(options.folder, picture))) continue;
      await file.appendFile(`${isFirst ? "" : ","}\n${inScript(row(path, picture, options.folder, placeOf))}`);
      isFirst = false;
    }
    await file.appendFile(`]}</script>\n<script>${reviewScript}</script>\n</html>\n`);
  });
}

/** File, source, size, and boxes as [x0, y0, x1, y1, label, score]. */
function row(path: string, picture: LabelledPicture, folder: string, placeOf: (label: string) => number) {
  const { file, width, height, detections } = picture;
  const source = relative(dirname(resolve(path)), pathOf(folder, picture))
    .split(sep)
    .map(encodeURIComponent)
    .join("/");
  const boxes = detections.map(({ box, label, score }) => [...box, placeOf(label), score]);
  return { f: file, s: source, w: width, h: height, b: boxes };
}

/** JSON that no name in it can end the script element with. */
function inScript(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function pageStart(title: string): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${encodeXML(title)}</title><style>${reviewStyle}</style>
<h1>${encodeXML(title)}</h1>
<p>Click a box to reject it. Decisions stay in this browser until they are saved as JSON.</p>
<div class="bar">
<label>score from <input id="low" type="number" min="0" max="1" step="0.05" value="0"></label>
<label>to <input id="high" type="number" min="0" max="1" step="0.05" value="1"></label>
<label>label <select id="label"><option value="">all</option></select></label>
<label>order <select id="order"><option value="worst">least sure first</option><option value="best">surest first</option><option value="most">most boxes first</option><option value="none">as labelled</option></select></label>
<label>show <select id="status"><option value="">all</option><option value="open">undecided</option><option value="accepted">accepted</option><option value="rejected">rejected</option></select></label>
<button id="previous" type="button">Previous</button><button id="next" type="button">Next</button>
<span id="place"></span><span id="count"></span><button id="export" type="button">Save decisions</button>
</div>
<main id="pictures"></main>
`;
}
