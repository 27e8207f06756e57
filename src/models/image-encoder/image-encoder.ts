import { CoSwin, type CoSwinConfig } from "./coswin.ts";
import { type SiglipVisionConfig, SiglipVisionTransformer } from "./siglip-vit.ts";
import { VisionTransformer, type VisionTransformerConfig } from "./vit.ts";

export type ImageEncoderConfig = CoSwinConfig | VisionTransformerConfig | SiglipVisionConfig;
export type ImageEncoder = CoSwin | VisionTransformer | SiglipVisionTransformer;

/** The image encoder that a configuration describes. */
export function createImageEncoder(config: ImageEncoderConfig): ImageEncoder {
  switch (config.kind) {
    case "coswin":
      return new CoSwin(config);
    case "vit":
      return new VisionTransformer(config);
    case "siglip-vit":
      return new SiglipVisionTransformer(config);
  }
}
