import sharp from "sharp";
import type { LabelledImage } from "../data/labelled/labelled-set.ts";
import type { EvaluationExample } from "./evaluation-details.ts";
import type { EvaluationContext } from "./evaluation-task.ts";

/** An image worth showing, and what to say of it. */
export interface ExampleChoice extends Omit<EvaluationExample, "jpeg" | "key"> {
  readonly image: LabelledImage;
}

const side = 128; // pixels at most

/** The images as small JPEGs; one that cannot be read is left out. */
export async function drawExamples(
  { set }: Pick<EvaluationContext, "set">,
  choices: readonly ExampleChoice[],
): Promise<EvaluationExample[]> {
  const examples: EvaluationExample[] = [];
  for (const { image, ...words } of choices) {
    try {
      const { width, height, data } = await set.decode(image);
      const jpeg = await sharp(data, { raw: { width, height, channels: 3 } })
        .resize(side, side, { fit: "inside", withoutEnlargement: true })
        .jpeg({ quality: 80 })
        .toBuffer();
      examples.push({ key: image.key, jpeg: jpeg.toString("base64"), ...words });
    } catch {
      // It was reported when it was to be scored; a picture fewer does no harm here.
    }
  }
  return examples;
}
