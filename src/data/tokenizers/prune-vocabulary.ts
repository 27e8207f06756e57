import { UserError } from "../../core/errors.ts";
import { bertWords, WordPieceTokenizer } from "./wordpiece.ts";

const SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** A part of a WordPiece vocabulary: entries in their old order, and the old id of each. */
export interface PrunedVocabulary {
  readonly vocabulary: string[];
  readonly keptIds: Int32Array;
}

/** Texts a small model is to read well: those of their pieces that occur at least `minimumCount` times are claimed. */
export interface ClaimingTexts {
  readonly texts: Iterable<string>;
  readonly minimumCount: number;
}

/**
 * Chooses the entries of a WordPiece vocabulary that a small model keeps: the special ones, every single ASCII and
 * Latin-1 character (so that no word of those letters becomes unknown), the pieces of the given texts list by list, and
 * for the places left the first entries of the vocabulary that `isWanted` accepts. A word keeps its pieces, and so its
 * ids up to renumbering, if all of them are kept.
 *
 * @param vocabulary  entries in id order, the frequent ones first
 * @param size        how many to keep
 * @param textLists   the most important list first; within a list, frequent pieces come first
 * @param isWanted    whether an entry (`##` included) may fill a place that no text claims
 * @throws  UserError `bad-argument` if not even the special entries and characters fit into `size`
 */
export function pruneVocabulary({
  vocabulary,
  size,
  textLists,
  isWanted,
}: {
  vocabulary: readonly string[];
  size: number;
  textLists: readonly ClaimingTexts[];
  isWanted: (piece: string, id: number) => boolean;
}): PrunedVocabulary {
  const kept = new Set<number>();
  for (const [id, piece] of vocabulary.entries()) {
    if (SPECIALS.includes(piece) || /^(?:##)?[\0-\xff]$/.test(piece)) kept.add(id);
  }
  if (kept.size > size) {
    throw new UserError(
      "bad-argument",
      `pruneVocabulary: the special entries and single characters must fit, got room for ${size} of ${kept.size}.`,
    );
  }
  const keepFirst = (ids: Iterable<number>) => {
    for (const id of ids) {
      if (kept.size >= size) return;
      kept.add(id);
    }
  };
  const tokenizer = new WordPieceTokenizer({ vocabulary, contextLength: 2 });
  for (const claiming of textLists) keepFirst(claimedPieces(tokenizer, claiming));
  keepFirst(vocabulary.flatMap((piece, id) => (isWanted(piece, id) ? [id] : [])));
  const keptIds = Int32Array.from(kept).sort();
  return { vocabulary: Array.from(keptIds, (id) => vocabulary[id] as string), keptIds };
}

function claimedPieces(tokenizer: WordPieceTokenizer, { texts, minimumCount }: ClaimingTexts): number[] {
  const counts = new Map<number, number>();
  for (const text of texts) {
    for (const word of bertWords(text)) {
      for (const id of tokenizer.encodeWord(word)) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return Array.from(counts)
    .filter(([, count]) => count >= minimumCount)
    .sort(([a, countA], [b, countB]) => countB - countA || a - b)
    .map(([id]) => id);
}

/** Rows of a table [rows, width], in the order of `ids`: the embeddings of a pruned vocabulary. */
export function takeRows(table: Float32Array, width: number, ids: Int32Array): Float32Array {
  const taken = new Float32Array(ids.length * width);
  for (const [row, id] of ids.entries()) taken.set(table.subarray(id * width, (id + 1) * width), row * width);
  return taken;
}
