/**
 * A factor on the learning rate of each parameter that falls geometrically from a tower's end to its beginning, so that
 * what is general changes least. Clark et al., arXiv:2003.10555; Bao et al. (BEiT), arXiv:2106.08254.
 *
 * Works on names alone: the blocks of a tower are what its parameters call `blocks.N`, within stages or not, counted in
 * the order of declaration. What stands before the first block is the deepest group, what belongs to a block shares its
 * factor, a step down between stages that of the block before it; norms and projections after the last have factor 1.
 *
 * @param names  all parameters, in the order of declaration
 * @param decay  in (0, 1], between one block and the next
 */
export function layerDecayScales(names: Iterable<string>, decay: number): Map<string, number> {
  const scales = new Map<string, number>();
  for (const tower of groupByTower(names).values()) {
    const blocks = [...new Set(tower.flatMap((name) => blockOf(name) ?? []))];
    const firstBlock = tower.findIndex((name) => blockOf(name) !== undefined);
    for (const [i, name] of tower.entries()) {
      const before = i < firstBlock ? -1 : blocks.length; // of all blocks, or after them
      const depth = blockIndex(name, blocks) ?? before;
      scales.set(name, decay ** (blocks.length - depth));
    }
  }
  return scales;
}

/** Which block a parameter goes with; undefined for those before and after all blocks. */
function blockIndex(name: string, blocks: readonly string[]): number | undefined {
  const block = blockOf(name);
  if (block !== undefined) return blocks.indexOf(block);
  const stage = /^(.*stages\.\d+\.)downsample\./.exec(name)?.[1];
  return stage === undefined ? undefined : blocks.findLastIndex((other) => other.startsWith(stage));
}

/** `imageEncoder` and `textEncoder` decay by themselves; projections, scales and heads are the end of either. */
function groupByTower(names: Iterable<string>): Map<string, string[]> {
  const towers = new Map<string, string[]>();
  for (const name of names) {
    const tower = /^[^.]*Encoder(?=\.)/.exec(name)?.[0] ?? "";
    towers.set(tower, [...(towers.get(tower) ?? []), name]);
  }
  return towers;
}

function blockOf(name: string): string | undefined {
  return /^.*?blocks\.\d+\./.exec(name)?.[0];
}
