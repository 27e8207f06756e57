/** Linear layers and kernels within an encoder's blocks and between its stages, by what our modules call them. */
const hiddenLayer = /\.(attn\.(qkv|proj)|mlp\.fc[12]|fc[12]|conv[12]|downsample\.(proj|reduction))\.weight$/;

/**
 * Whether a parameter is a matrix or kernel of a hidden layer of an encoder, for which Muon is meant: not an embedding, a
 * table, the stem or the last projection.
 */
export function isHiddenInEncoder(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && hiddenLayer.test(name);
}
