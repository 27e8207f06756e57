/** Decoding is a matter of the model's outputs; the task's files know it by this name. */
export {
  type DecodeOptions,
  decodeDetections,
  type FoundBoxes,
  type RawDetections,
} from "../../models/detection/decode-detections.ts";
