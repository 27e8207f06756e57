import onnxProto from "onnx-proto";
import type { ConstantData, Shape } from "./tensor.ts";

const { onnx } = onnxProto;

export type InitializerData = ConstantData | Int8Array;

/** Values that a file refers to by `path` and that whoever loads it is handed beside it. */
export interface ExternalData {
  readonly path: string;
  readonly data: InitializerData;
}

/** Fewer bytes than this are kept in the file in any case: shapes and the like must be known when a graph is read. */
const smallestExternal = 1024;

/** The fixed values of an ONNX file in the making. */
export class Initializers {
  readonly tensors: InstanceType<typeof onnx.TensorProto>[] = [];
  readonly external: ExternalData[] = [];
  readonly #isExternal: boolean;

  constructor(isExternal: boolean) {
    this.#isExternal = isExternal;
  }

  /** `dataType`: ONNX's number of it. */
  add(name: string, shape: Shape, dataType: number, data: InitializerData): void {
    const common = { name, dims: [...shape], dataType };
    if (!this.#isExternal || data.byteLength < smallestExternal) {
      const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      this.tensors.push(new onnx.TensorProto({ ...common, rawData }));
      return;
    }
    const externalData = [
      { key: "location", value: name },
      { key: "offset", value: "0" },
      { key: "length", value: String(data.byteLength) },
    ];
    const dataLocation = onnx.TensorProto.DataLocation.EXTERNAL;
    this.tensors.push(new onnx.TensorProto({ ...common, dataLocation, externalData }));
    this.external.push({ path: name, data });
  }
}
