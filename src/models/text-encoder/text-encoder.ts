import { ClipTransformer, type ClipTransformerConfig } from "./clip-transformer.ts";
import { SentenceEncoder, type SentenceEncoderConfig } from "./sentence-encoder.ts";
import { SiglipTransformer, type SiglipTransformerConfig } from "./siglip-transformer.ts";

export type TextEncoderConfig = ClipTransformerConfig | SentenceEncoderConfig | SiglipTransformerConfig;
export type TextEncoder = ClipTransformer | SentenceEncoder | SiglipTransformer;

/** The text encoder that a configuration describes. */
export function createTextEncoder(config: TextEncoderConfig): TextEncoder {
  switch (config.kind) {
    case "clip-transformer":
      return new ClipTransformer(config);
    case "sentence-encoder":
      return new SentenceEncoder(config);
    case "siglip-transformer":
      return new SiglipTransformer(config);
  }
}
