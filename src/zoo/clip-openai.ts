import { UserError } from "../core/errors.ts";
import type { CheckpointFormat } from "./checkpoint.ts";
import { readCheckpointTensors } from "./checkpoint-tensors.ts";
import { hasClipTokenizer, readClipTokenizer } from "./clip-tokenizer-files.ts";
import type { ForeignTensors } from "./foreign-tensors.ts";
import { importOpenClip, type OpenClipConfig, openClipSchema } from "./open-clip.ts";

const headWidth = 64; // of every CLIP that OpenAI published; no shape tells it

/** Sizes that the archives keep as tensors beside the weights, whose shapes say the same. */
const sizeNames = ["input_resolution", "context_length", "vocab_size"];

/**
 * OpenAI's own files: a TorchScript archive, or a state dictionary of its names, without any configuration: every size is
 * in the shapes. ViTs alone. Radford et al., arXiv:2103.00020.
 */
export const clipOpenAi: CheckpointFormat = {
  family: "CLIP ViT as OpenAI published it, one .pt file",
  weightNames: [],
  async recognizes({ files }) {
    return [...files].filter((name) => name.endsWith(".pt")).length === 1 && !files.has("config.json");
  },
  isCertain: hasClipTokenizer, // many programs call their weights .pt
  async describe() {
    return undefined;
  },
  async read(folder) {
    const [path] = [...folder.files].filter((name) => name.endsWith(".pt")).map((name) => folder.pathOf(name));
    const tensors = await readCheckpointTensors(folder, []);
    const config = configOf(path, tensors);
    for (const name of sizeNames) if (tensors.has(name)) tensors.take(name, tensors.shapeOf(name));
    const { vocab_size: vocabulary, context_length: contextLength } = config.model_cfg.text_cfg;
    const tokenizer = await readClipTokenizer(folder, { vocabulary, contextLength, isBundled: true });
    return importOpenClip(config, { folder, path, tensors, tokenizer });
  },
};

/** A configuration in open_clip's terms by the shapes of the weights. */
function configOf(path: string, tensors: ForeignTensors): OpenClipConfig {
  if (tensors.has("visual.layer1.0.conv1.weight")) {
    throw new UserError("unsupported", `${path}: the image tower must be a ViT, got a ResNet. Take a ViT of OpenAI's.`);
  }
  const [width, , patch] = sizesOf(path, tensors, "visual.conv1.weight", 4);
  const [places] = sizesOf(path, tensors, "visual.positional_embedding", 2);
  const [vocabulary, textWidth] = sizesOf(path, tensors, "token_embedding.weight", 2);
  const [contextLength] = sizesOf(path, tensors, "positional_embedding", 2);
  const [, embedding] = sizesOf(path, tensors, "text_projection", 2);
  const side = Math.sqrt(places - 1);
  const requireWhole = (name: string, rule: string, value: number, got: number): void => {
    if (Number.isInteger(value) && value > 0) return;
    throw new UserError("unsupported", `${path}: ${name} must ${rule}, got ${got}.`);
  };
  requireWhole("visual.positional_embedding", "have a place for the class and for each of a square's", side, places);
  requireWhole("visual.conv1.weight", `give heads of ${headWidth}`, width / headWidth, width);
  requireWhole("token_embedding.weight", `give heads of ${headWidth}`, textWidth / headWidth, textWidth);
  return openClipSchema.parse({
    model_cfg: {
      embed_dim: embedding,
      quick_gelu: true,
      vision_cfg: {
        image_size: side * patch,
        patch_size: patch,
        width,
        head_width: headWidth,
        layers: blocksOf(tensors, "visual.transformer.resblocks"),
      },
      text_cfg: {
        context_length: contextLength,
        vocab_size: vocabulary,
        width: textWidth,
        heads: textWidth / headWidth,
        layers: blocksOf(tensors, "transformer.resblocks"),
      },
    },
  });
}

/** A tensor's shape, which must have this many axes, none of them empty. */
function sizesOf(path: string, tensors: ForeignTensors, name: string, axes: number): readonly number[] {
  const shape = tensors.shapeOf(name);
  if (shape.length === axes && shape.every((side) => side > 0)) return shape;
  throw new UserError("unsupported", `${path}: ${name} must have ${axes} axes, got [${shape.join(", ")}].`);
}

function blocksOf(tensors: ForeignTensors, prefix: string): number {
  let blocks = 0;
  while (tensors.has(`${prefix}.${blocks}.ln_1.weight`)) blocks++;
  return Math.max(1, blocks); // of none, the first is missed by its name
}
