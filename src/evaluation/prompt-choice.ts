import { UserError } from "../core/errors.ts";
import { readUtf8 } from "../io/text-files.ts";
import { findPromptSet, type PromptSet, parsePromptSets } from "../tasks/classification/prompt-sets.ts";
import { checkTemplates } from "../tasks/classification/prompts.ts";
import { bareTemplates, defaultTemplates } from "../tasks/classification/templates.data.ts";

/** How classes are put into words. */
export interface ClassPrompts {
  readonly templates: readonly string[];
  /** The choice as it was made, for tables. */
  readonly title: string;
  /** Names that replace the set's own, of each class one or several that mean it. */
  readonly names?: readonly (readonly string[])[];
}

export interface PromptChoice {
  /** `default`, `none`, a file of templates, or `clip:SET` of `promptsFile`. */
  readonly templates: string;
  /** A file of prompt sets, such as CLIP's prompts.md. */
  readonly promptsFile?: string | undefined;
  /** `own` (default), `clip` for the set's class names, or a file with one name a line, in the order of the classes. */
  readonly classNames?: string | undefined;
}

/**
 * Reads the prompts that were chosen for a set's classes.
 *
 * @throws UserError for files, templates and names that cannot be used
 */
export async function readClassPrompts(choice: PromptChoice, classes: readonly string[]): Promise<ClassPrompts> {
  const set = await chosenSet(choice);
  const templates = checkTemplates(set?.templates ?? (await ownTemplates(choice.templates)));
  const names = await chosenNames(choice, set, classes);
  return { templates, title: choice.templates, ...(names && { names }) };
}

async function chosenSet({ templates, promptsFile, classNames }: PromptChoice): Promise<PromptSet | undefined> {
  const name = /^clip:(.+)$/.exec(templates)?.[1];
  if (name === undefined) {
    if (classNames !== "clip") return undefined;
    throw new UserError(
      "bad-argument",
      `Class names: "clip" needs --templates clip:SET, got ${templates}. Name the set of prompts.`,
    );
  }
  if (promptsFile === undefined) {
    const remedy = "Name your copy of CLIP's data/prompts.md.";
    throw new UserError("bad-argument", `Templates ${templates}: --prompts FILE is needed, got none. ${remedy}`);
  }
  return findPromptSet(parsePromptSets(await readUtf8(promptsFile), promptsFile), name, promptsFile);
}

async function ownTemplates(choice: string): Promise<readonly string[]> {
  if (choice === "default") return defaultTemplates;
  if (choice === "none") return bareTemplates;
  return linesOf(await readUtf8(choice));
}

async function chosenNames(
  { classNames = "own" }: PromptChoice,
  set: PromptSet | undefined,
  classes: readonly string[],
): Promise<readonly (readonly string[])[] | undefined> {
  if (classNames === "own") return undefined;
  const names = classNames === "clip" ? set?.classes : linesOf(await readUtf8(classNames)).map((line) => [line.trim()]);
  if (names?.length === classes.length) return inOrderOf(classes, names, classNames);
  throw new UserError(
    "mismatch",
    `Class names ${classNames}: must be one for each of ${classes.length} classes, got ${names?.length}. Correct the list.`,
  );
}

/**
 * Names that are the classes' own, in whatever order, are put into the classes' order; names of which none is, or which
 * have each class's own name in its place, are taken as they come.
 *
 * @throws UserError (mismatch) where some are the classes' own, in another order: the place of the others is not known
 */
function inOrderOf(
  classes: readonly string[],
  names: readonly (readonly string[])[],
  source: string,
): readonly (readonly string[])[] {
  const places = matchedPlaces(
    classes,
    names.map(([name]) => name),
  );
  if (places.every((place) => place !== undefined)) return places.map((place) => names[place]);
  if (places.every((place, c) => place === undefined || place === c)) return names;
  const unmatched = classes.filter((_, c) => places[c] === undefined);
  const rest = unmatched.length > 5 ? ` and ${unmatched.length - 5} more` : "";
  const shown = `${unmatched
    .slice(0, 5)
    .map((name) => `"${name}"`)
    .join(", ")}${rest}`;
  const rule = "some are the classes' own in another order, so all must be, got none that is";
  const remedy = "Add these, or give the list in the order of the classes.";
  throw new UserError("mismatch", `Class names ${source}: ${rule} ${shown}. ${remedy}`);
}

/** Of each class the place of its name: equal to the letter, else the only one of the same letters and digits. */
function matchedPlaces(classes: readonly string[], names: readonly string[]): (number | undefined)[] {
  const plain = (text: string) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const exact = new Map(names.map((name, place) => [name, place]));
  const placesOf = new Map<string, number[]>();
  for (const [place, name] of names.entries()) placesOf.set(plain(name), [...(placesOf.get(plain(name)) ?? []), place]);
  const own = new Set(classes.filter((name) => exact.has(name)).map((name) => exact.get(name)));
  return classes.map((name) => {
    const place = exact.get(name);
    if (place !== undefined) return place;
    const alike = (placesOf.get(plain(name)) ?? []).filter((one) => !own.has(one));
    return alike.length === 1 ? alike[0] : undefined;
  });
}

function linesOf(text: string): string[] {
  return text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
}
