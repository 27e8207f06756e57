import type { AnyExportedModel } from "../models/exported-model.ts";

/** README.md of an exported folder: what the files take and give, and how to run them. */
export function exportReadme(description: AnyExportedModel): string {
  const { name, fingerprint, precision, licence, embedding, image, text } = description;
  const rows: string[] = [];
  if (image) rows.push(`| \`image.onnx\` | \`pixels\` uint8 [batch, ${image.size}, ${image.size}, 3], RGB |`);
  if (text) {
    const tokens = text.length === "dynamic" ? "tokens" : text.tokenizer.contextLength;
    rows.push(`| \`text.onnx\` | \`ids\` int32 and \`mask\` float32 [batch, ${tokens}] |`);
  }
  return `# ${name}, ONNX

Precision ${precision}${licence === undefined ? "" : `, licence ${licence}`}. Fingerprint of the model: \`${fingerprint}\`.

| file | inputs |
|---|---|
${rows.join("\n")}

Each gives \`embedding\` float32 [batch, ${embedding}], rows of length 1. The graphs use ONNX opset 20 and operators of
ONNX Runtime (\`com.microsoft\`), so they need an ONNX Runtime that has both; tested with 1.30. \`preprocessing.json\` says how to feed them;
each file has the same in its metadata.
${image ? imageSection(image) : ""}${text ? textSection(text) : ""}${scoreSection(description)}${browserSection(description)}`;
}

function scoreSection({ logitScale, scoring }: AnyExportedModel): string {
  const probabilities =
    scoring?.kind === "sigmoid"
      ? `σ(score + b) with b = ${scoring.bias}: each label is judged alone`
      : "the softmax over the labels' scores";
  return `
## Scores

The score of a picture and a text is ${logitScale} times the cosine of their embeddings (the sum of products). Probabilities:
${probabilities}.
`;
}

function browserSection({ name, image, text }: AnyExportedModel): string {
  if (text?.tokenizer.kind === "siglip") return ""; // florence/web does not read its tokenizer
  return `
## In the browser

\`florence/web\` does all of this from the folder's address:

\`\`\`js
import { loadModel } from "florence/web";
const model = await loadModel("/models/${name}/");
${image ? "const [embedding] = await model.embedImages([file]);" : 'const [embedding] = await model.embedTexts(["a cat"]);'}
\`\`\`
`;
}

function imageSection({ size, resize, resizeTo = size, filter }: NonNullable<AnyExportedModel["image"]>): string {
  const how =
    resize === "squash"
      ? `Resize to ${size}×${size}, the aspect ignored`
      : `Resize so that the shorter side is ${resizeTo}, then crop the central ${size}×${size}`;
  return `
## Pictures

${how} (${filter}, antialiased as Pillow does). Give the bytes as they are: the graph normalises.

\`\`\`js
import * as ort from "onnxruntime-node"; // or "onnxruntime-web"
const session = await ort.InferenceSession.create("image.onnx");
const pixels = new ort.Tensor("uint8", bytes, [1, ${size}, ${size}, 3]); // bytes: Uint8Array, R G B
const { embedding } = await session.run({ pixels });
\`\`\`
`;
}

function textSection({ padId, tokenizer, length }: NonNullable<AnyExportedModel["text"]>): string {
  const filled = length === "dynamic" ? "up to the longest text" : `always up to ${tokenizer.contextLength} tokens`;
  const mask =
    tokenizer.kind === "siglip" ? "is 1 throughout: the model reads padding too" : "is 1 at a token and 0 at padding";
  return `
## Texts

Tokenizer: ${tokenizerName(tokenizer)}, special tokens included, at most ${tokenizer.contextLength} tokens. Fill \`ids\` with ${padId} ${filled};
\`mask\` ${mask}.

\`\`\`js
import * as ort from "onnxruntime-node"; // or "onnxruntime-web"
const session = await ort.InferenceSession.create("text.onnx");
const ids = new ort.Tensor("int32", tokenIds, [texts, tokens]); // Int32Array
const mask = new ort.Tensor("float32", tokenMask, [texts, tokens]); // Float32Array
const { embedding } = await session.run({ ids, mask });
\`\`\`
`;
}

function tokenizerName(tokenizer: NonNullable<AnyExportedModel["text"]>["tokenizer"]): string {
  if (tokenizer.kind === "wordpiece") return "BERT's uncased WordPiece with the entries of `vocab.txt`";
  if (tokenizer.kind === "clip-bpe") return `CLIP's BPE with the ${tokenizer.mergeCount} merges of \`merges.txt\``;
  // spiece.model knows nothing of SigLIP's cleaning, which its reference does in code; tokenizer.json says its own.
  return tokenizer.files.includes("spiece.model")
    ? "the SentencePiece of `spiece.model` on texts in lower case, without ASCII punctuation and with single spaces"
    : "that of `tokenizer.json` on texts in lower case";
}
