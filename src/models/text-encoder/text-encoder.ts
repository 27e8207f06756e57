import { ClipTransformer, type ClipTransformerConfig } from "./clip-transformer.ts";
import { SentenceEncoder, type SentenceEncoderConfig } from "./sentence-encoder.ts";

export type TextEncoderConfig = ClipTransformerConfig | SentenceEncoderConfig;
export type TextEncoder = ClipTransformer | SentenceEncoder;

/** The text encoder that a configuration describes. */
export function createTextEncoder(config: TextEncoderConfig): TextEncoder {
  return config.kind === "clip-transformer" ? new ClipTransformer(config) : new SentenceEncoder(config);
}
