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
  const listed = new Map(list.names.map((name, index) => [identityOf(className(name)), index]));
  const spellings = new Map<string, { written: Map<string, number>; names: Map<string, number> }>();
  const identityOfLabel = (label: string): string => {
    const own = identityOf(className(label));
    const index = listed.has(own) ? undefined : list.byIdentifier.get(label);
    return index === undefined ? own : identityOf(className(list.names[index]));
  };
  for (const [label, count] of counts) {
    const identity = identityOfLabel(label);
    const group = spellings.get(identity) ?? { written: new Map(), names: new Map() };
    const name = className(label);
    group.written.set(label, count);
    group.names.set(name, (group.names.get(name) ?? 0) + count);
    spellings.set(identity, group);
  }
  const unlisted = [...spellings].filter(([identity]) => !listed.has(identity));
  const chosen = unlisted.map(([identity, { names }]) => ({ identity, name: mostFrequent(names) }));
  const areNumbers = chosen.every(({ name }) => /^\d+$/.test(name));
  chosen.sort((a, b) => (areNumbers ? Number(a.name) - Number(b.name) : 0) || (a.name < b.name ? -1 : 1));
  for (const [identity, { written }] of spellings) {
    if (written.size < 2 || listed.has(identity)) continue;
    const forms = [...written].map(([label, count]) => `"${label}" (${count})`).join(", ");
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
  const indices = new Map([...listed, ...chosen.map(({ identity }, i) => [identity, list.names.length + i] as const)]);
  return { names, indexOf: (label) => indices.get(identityOfLabel(label)) ?? -1 };
}

/** The spelling that occurs most; of equal ones, the first in code-unit order. */
function mostFrequent(names: ReadonlyMap<string, number>): string {
  const [[name]] = [...names].sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  return name;
}
