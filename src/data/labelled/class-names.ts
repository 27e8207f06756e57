import { labelText } from "../readers/record.ts";
import type { ClassList, SetNote } from "./entry.ts";

/** The classes of a set, and how to find the one a label means. */
export interface ClassNames {
  readonly names: readonly string[];
  indexOf(label: string): number;
}

/** A class name in words, in one Unicode form and with single spaces. */
export function className(label: string): string {
  return labelText(label).normalize("NFC").replace(/\s+/g, " ");
}

/**
 * What makes two names one class: the same words whatever their case. Single letters keep their case, as "a" and "A"
 * are two classes of handwriting.
 */
function identityOf(name: string): string {
  return [...name].length === 1 ? name : name.toLowerCase();
}

/**
 * The classes that labels name. A class list gives their order and may hold classes without images; other classes
 * follow in code-unit order, numbers by value. Spellings that differ in case, underscores or spaces are one class,
 * called by its most frequent spelling.
 *
 * @param counts  how often each label occurs, as written; 0 for a class that is only known by name
 */
export function classNames(
  counts: ReadonlyMap<string, number>,
  list: ClassList,
  note: (note: SetNote) => void,
): ClassNames {
  const listed = listedNames(list);
  /** By identity: the index of a listed class, the words of any other. */
  const spellings = new Map<string | number, { written: Map<string, number>; names: Map<string, number> }>();
  const identityOfLabel = (label: string): string | number => {
    const index = listed(className(label)) ?? list.byIdentifier.get(label);
    return index ?? identityOf(className(label));
  };
  for (const [label, count] of counts) {
    const identity = identityOfLabel(label);
    const group = spellings.get(identity) ?? { written: new Map(), names: new Map() };
    const name = className(label);
    group.written.set(label, count);
    group.names.set(name, (group.names.get(name) ?? 0) + count);
    spellings.set(identity, group);
  }
  const unlisted = [...spellings].filter(([identity]) => typeof identity === "string");
  const chosen = unlisted.map(([identity, { names }]) => ({ identity, name: mostFrequent(names) }));
  const areNumbers = chosen.every(({ name }) => /^\d+$/.test(name));
  chosen.sort((a, b) => (areNumbers ? Number(a.name) - Number(b.name) : 0) || (a.name < b.name ? -1 : 1));
  for (const [identity, { written }] of spellings) {
    if (written.size < 2 || typeof identity === "number") continue;
    const forms = [...written]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, count]) => `"${label}" (${count})`)
      .join(", ");
    note({
      kind: "class-merged",
      message: `Class "${mostFrequent(spellings.get(identity)?.names ?? new Map())}": is written ${forms}; these count as one class.`,
    });
  }
  if (list.names.length > 0 && chosen.length > 0) {
    const shown = chosen
      .slice(0, 5)
      .map(({ name }) => `"${name}"`)
      .join(", ");
    const rest = chosen.length > 5 ? ` and ${chosen.length - 5} more` : "";
    note({
      kind: "class-renamed",
      message: `${list.path ?? "class list"}: does not list ${shown}${rest}; they are added after its classes.`,
    });
  }
  const names = [...list.names.map(className), ...chosen.map(({ name }) => name)];
  const indices = new Map(chosen.map(({ identity }, i) => [identity, list.names.length + i]));
  const indexOf = (label: string): number => {
    const identity = identityOfLabel(label);
    return typeof identity === "number" ? identity : (indices.get(identity) ?? -1);
  };
  return { names, indexOf };
}

/** Finds a name in a list: as it is written, else whatever its case, where that means one name of the list alone. */
function listedNames(list: ClassList): (name: string) => number | undefined {
  const exact = new Map(list.names.map((name, index) => [className(name), index]));
  const folded = new Map<string, number | undefined>();
  for (const [name, index] of exact) {
    const identity = identityOf(name);
    folded.set(identity, folded.has(identity) ? undefined : index);
  }
  return (name) => exact.get(name) ?? folded.get(identityOf(name));
}

/** The spelling that occurs most; of equal ones, the first in code-unit order. */
function mostFrequent(names: ReadonlyMap<string, number>): string {
  const [[name]] = [...names].sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  return name;
}
