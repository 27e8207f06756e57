import { CoSwin, type CoSwinConfig } from "./coswin.ts";
import { VisionTransformer, type VisionTransformerConfig } from "./vit.ts";

export type ImageEncoderConfig = CoSwinConfig | VisionTransformerConfig;
export type ImageEncoder = CoSwin | VisionTransformer;

/** The image encoder that a configuration describes. */
export function createImageEncoder(config: ImageEncoderConfig): ImageEncoder {
  return config.kind === "coswin" ? new CoSwin(config) : new VisionTransformer(config);
}
