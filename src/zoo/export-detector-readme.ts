import type { ExportedDetector } from "../models/exported-detector.ts";

/** README.md of an exported detector: what the file takes and gives, and how to run it. */
export function detectorReadme({ name, fingerprint, precision, licence, canvas, classes }: ExportedDetector): string {
  const { width, height, grey } = canvas;
  const textRow =
    classes.kind === "text"
      ? `| \`texts\` | float32 [labels, ${classes.embedding}], rows of length 1; any labels |\n`
      : "";
  const labels = classes.kind === "text" ? "labels" : String(classes.names.length);
  const textFeed =
    classes.kind === "text"
      ? `const texts = new ort.Tensor("float32", embeddings, [labels, ${classes.embedding}]); // Float32Array\n`
      : "";
  return `# ${name}, ONNX

Precision ${precision}${licence === undefined ? "" : `, licence ${licence}`}. Fingerprint of the detector: \`${fingerprint}\`.

| input | |
|---|---|
| \`pixels\` | uint8 [batch, ${height}, ${width}, 3], RGB; any batch, height and width fixed |
${textRow}
| output | |
|---|---|
| \`boxes\` | float32 [batch, places, 4]: left, top, right, bottom in pixels of the canvas, not cut to it |
| \`scores\` | float32 [batch, places, ${labels}] in 0 … 1: class times centerness |

The graph uses ONNX opset 20 and operators of ONNX Runtime (\`com.microsoft\`), so it needs an ONNX Runtime that has both; tested
with 1.30. \`preprocessing.json\` says the same as this file for programs; it is in the file's metadata too.

## Pictures

Scale a picture in its own proportions until it just fits into ${width}×${height} (bilinear, antialiased as Pillow does), centre it (odd
margins: the smaller half first), fill the rest with grey ${grey}. Give the bytes as they are: the graph normalises. To tell boxes in the
picture's own pixels, subtract the margin and divide by the scale.

## Classes

${classSection(classes)}
## Run it

\`\`\`js
import * as ort from "onnxruntime-node"; // or "onnxruntime-web"
const session = await ort.InferenceSession.create("detector.onnx");
const pixels = new ort.Tensor("uint8", bytes, [1, ${height}, ${width}, 3]); // Uint8Array, R G B
${textFeed}const { boxes, scores } = await session.run({ pixels${classes.kind === "text" ? ", texts" : ""} });
\`\`\`

Then keep the scores above a threshold and suppress overlapping boxes of each class (IoU 0.6). \`loadDetector\` of \`florence/web\` does
all of this from the folder's address.
`;
}

function classSection(classes: ExportedDetector["classes"]): string {
  if (classes.kind === "fixed") {
    if (classes.names.length === 1 && classes.names[0] === "object") {
      return "One: an object, whatever it is. An image–text model may name each box from its crop.\n";
    }
    return `In order: ${classes.names.join(", ")}.\n`;
  }
  const prompts = classes.templates.map((template) => `\`${template}\``).join(", ");
  return `Any: put each label into ${prompts}, embed that with ${classes.embedder.name} (fingerprint \`${classes.embedder.fingerprint}\`, no other
model will do), average over the prompts and bring to length 1.
`;
}
