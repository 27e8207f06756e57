import { createHash } from "node:crypto";
import type { FoundEntry } from "./collect-entries.ts";
import type { LabelledEntry, SetNote } from "./entry.ts";
import type { LabelledImage, SplitName } from "./labelled-set.ts";

/** The images by their splits, in the order train, val, test; those without a split are for training. */
export function groupBySplit(
  entries: readonly LabelledEntry[],
  images: readonly LabelledImage[],
): Map<SplitName, LabelledImage[]> {
  const groups = new Map<SplitName, LabelledImage[]>();
  entries.forEach(({ split = "train" }, i) => {
    const group = groups.get(split);
    if (group === undefined) groups.set(split, [images[i]]);
    else group.push(images[i]);
  });
  const order: readonly SplitName[] = ["train", "val", "test"];
  return new Map(order.flatMap((split) => (groups.has(split) ? [[split, groups.get(split) ?? []] as const] : [])));
}

/** Notes classes without images, and those that a split lacks while another has them. */
export function noteClassGaps(
  splits: ReadonlyMap<SplitName, readonly LabelledImage[]>,
  names: readonly string[],
  note: (note: SetNote) => void,
): void {
  const present = new Map(
    [...splits].map(([split, images]) => [split, new Set(images.flatMap(({ labels }) => labels))]),
  );
  const anywhere = new Set([...present.values()].flatMap((labels) => [...labels]));
  const shown = (indices: readonly number[]): string =>
    `${indices
      .slice(0, 5)
      .map((i) => `"${names[i]}"`)
      .join(", ")}${indices.length > 5 ? ` and ${indices.length - 5} more` : ""}`;
  const empty = names.map((_, i) => i).filter((i) => !anywhere.has(i));
  if (empty.length > 0) {
    note({
      kind: "class-empty",
      message: `${empty.length} of ${names.length} classes: have no picture: ${shown(empty)}.`,
    });
  }
  for (const [split, labels] of present) {
    const absent = [...anywhere].filter((i) => !labels.has(i)).sort((a, b) => a - b);
    if (labels.size > 0 && absent.length > 0) {
      note({
        kind: "class-absent",
        message: `Split ${split}: lacks ${absent.length} of ${names.length} classes: ${shown(absent)}.`,
      });
    }
  }
}

/**
 * SHA-256 over the class names and, sorted by key, each image's split, key, labels, texts, size and sampled digest.
 * Nothing of the place or time enters, so a copy elsewhere has the same one.
 */
export function fingerprintOf(
  entries: readonly FoundEntry[],
  images: readonly LabelledImage[],
  classes: readonly string[],
): string {
  const hash = createHash("sha256").update(JSON.stringify(["labelled set 1", classes]));
  const order = entries.map((_, i) => i).sort((a, b) => (entries[a].key < entries[b].key ? -1 : 1));
  for (const i of order) {
    const { key, split = "train", identity } = entries[i];
    hash.update(JSON.stringify([key, split, images[i].labels, images[i].texts, identity.size, identity.digest]));
  }
  return hash.digest("hex");
}
