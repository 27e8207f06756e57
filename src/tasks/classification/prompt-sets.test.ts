import { describe, expect, it } from "vitest";
import { findPromptSet, parsePromptSets } from "./prompt-sets.ts";

const text = `# Prompts

Prose with {} and ## inside.

## Animals10

\`\`\`bash
classes = [
    'cat',  # a comment
    "lion's cub",
    'it\\'s a dog',
]

templates = [
    'a photo of a {}.',
    'a "{}" sign',
]
\`\`\`

## Moods

\`\`\`bash
classes = [
    ['happy', 'smiling'],
    ['sad'],
]
templates = ['they look {}.']
\`\`\`
`;

describe("parsePromptSets", () => {
  it("reads names, quotes, escapes and lists of names", () => {
    expect(parsePromptSets(text, "prompts.md")).toEqual([
      {
        name: "Animals10",
        classes: [["cat"], ["lion's cub"], ["it's a dog"]],
        templates: ["a photo of a {}.", 'a "{}" sign'],
      },
      { name: "Moods", classes: [["happy", "smiling"], ["sad"]], templates: ["they look {}."] },
    ]);
  });

  it("finds a set whatever its case, and names those there are", () => {
    const sets = parsePromptSets(text, "prompts.md");
    expect(findPromptSet(sets, "animals-10", "prompts.md").name).toBe("Animals10");
    expect(() => findPromptSet(sets, "cars", "prompts.md")).toThrow("got Animals10, Moods");
  });

  it.each([
    ["no heading", "classes = ['a']", "got none"],
    ["no templates", "## A\nclasses = ['a']\n", 'must have "templates = ["'],
    ["a number", "## A\nclasses = ['a', 3]\ntemplates = ['{}']\n", 'got "3'],
    ["an open list", "## A\nclasses = ['a',\ntemplates = ['{}'\n", "must be a list of quoted texts"],
    ["deep lists", "## A\nclasses = [[['a']]]\ntemplates = ['{}']\n", "must nest one list at most"],
    ["lists of templates", "## A\nclasses = ['a']\ntemplates = [['{}']]\n", "templates must be texts"],
  ])("refuses %s", (_, bad, message) => {
    expect(() => parsePromptSets(bad, "prompts.md")).toThrow(message);
  });
});
