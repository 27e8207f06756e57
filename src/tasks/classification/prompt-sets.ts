import { UserError } from "../../core/errors.ts";

/** The class names and templates that a data set was evaluated with. */
export interface PromptSet {
  readonly name: string;
  readonly classes: readonly (readonly string[])[]; // of each class one name, or several that mean it
  readonly templates: readonly string[];
}

/**
 * Reads a Markdown file of prompts as CLIP publishes its own: a heading `## Name` for each set, under it the lists
 * `classes` and `templates` as Python literals.
 *
 * @param place  the file, for errors
 * @throws       UserError (corrupt) naming the set, if there is none or a list is no list of texts
 */
export function parsePromptSets(text: string, place: string): PromptSet[] {
  const sections = text.split(/^## +/m).slice(1);
  const sets = sections.map((section) => parseSection(section, place));
  if (sets.length > 0) return sets;
  throw new UserError("corrupt", `${place}: must have a heading "## NAME" for each set of prompts, got none.`);
}

/** The set of that name, whatever its case. @throws UserError (not-found) with the names there are */
export function findPromptSet(sets: readonly PromptSet[], name: string, place: string): PromptSet {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const found = sets.find((set) => plain(set.name) === plain(name));
  if (found) return found;
  const names = sets.map((set) => set.name).join(", ");
  throw new UserError("not-found", `${place}: must have a set of prompts "${name}", got ${names}. Name one of these.`);
}

function parseSection(section: string, place: string): PromptSet {
  const name = section.slice(0, section.indexOf("\n")).trim();
  const subject = `${place}: prompts of ${name}`;
  const classes = listAfter(section, "classes", subject);
  const templates = listAfter(section, "templates", subject);
  if (!templates.every((template) => typeof template === "string")) {
    throw new UserError("corrupt", `${subject}: templates must be texts, got a list of lists.`);
  }
  return { name, classes: classes.map((entry) => (typeof entry === "string" ? [entry] : entry)), templates };
}

/** The literal after `name = `: texts, or lists of texts. */
function listAfter(section: string, name: string, subject: string): (string | string[])[] {
  const start = new RegExp(`^${name} *= *\\[`, "m").exec(section);
  if (!start) throw new UserError("corrupt", `${subject}: must have "${name} = [", got no such line.`);
  const lists: (string | string[])[][] = [[]];
  const token = /\s+|,|\[|\]|#[^\n]*|'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"/gy;
  token.lastIndex = start.index + start[0].length;
  for (;;) {
    const at = token.lastIndex;
    const match = token.exec(section);
    if (!match) {
      const got = JSON.stringify(section.slice(at, at + 20));
      throw new UserError("corrupt", `${subject}: "${name}" must be a list of quoted texts, got ${got}.`);
    }
    const quoted = match[1] ?? match[2];
    if (quoted !== undefined) lists[lists.length - 1].push(unescaped(quoted));
    else if (match[0] === "[") {
      if (lists.length > 1)
        throw new UserError("corrupt", `${subject}: "${name}" must nest one list at most, got more.`);
      lists.push([]);
    } else if (match[0] === "]") {
      const ended = lists.pop() as (string | string[])[];
      if (lists.length === 0) return ended;
      lists[0].push(ended as string[]); // an inner list holds texts only: it cannot nest further
    }
  }
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
}
