import type { InferenceSession } from "../runtime/inference-session.ts";

/** `features`: what the encoder pools, before the projection. */
export type ImageOutput = "embedding" | "features";

/** Prepared pictures, one after the other: `pixels` [count, side, side, 3] uint8. */
export interface ImagesPayload {
  readonly pixels: Uint8Array;
  readonly count: number;
  readonly output: ImageOutput;
}

/** What a run of an image tower gave: `matrix` [count, D] or [count, F]. */
export interface ImageRun {
  readonly matrix: Float32Array;
  /** How long it computed, without the loading of the session. */
  readonly milliseconds: number;
}

export async function runImages(
  session: InferenceSession,
  side: number,
  { pixels, count, output }: ImagesPayload,
): Promise<ImageRun> {
  const started = performance.now();
  const matrix = await session.run({ pixels: { data: pixels, dims: [count, side, side, 3] } }, output);
  return { matrix, milliseconds: performance.now() - started };
}
