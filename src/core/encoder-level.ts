/** The last level of an image encoder's map of one picture, ahead of its norm. */
export interface EncoderLevel {
  readonly tokens: Float32Array; // [height · width, channels], row-major
  readonly height: number; // tokens
  readonly width: number;
}
