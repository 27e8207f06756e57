import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readClassPrompts } from "./prompt-choice.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-prompts-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function namesOf(list: readonly string[], classes: readonly string[]) {
  const classNames = join(folder, "names.txt");
  await writeFile(classNames, list.join("\n"));
  return (await readClassPrompts({ templates: "none", classNames }, classes)).names?.map(([name]) => name);
}

describe("class names of a list", () => {
  it.each([
    ["all match, in another order", ["Dog", "c_a_t"], ["cat", "dog"], ["c_a_t", "Dog"]],
    ["none matches: by place", ["feline", "canine"], ["cat", "dog"], ["feline", "canine"]],
    ["those that match are in their places", ["cat", "canine"], ["cat", "dog"], ["cat", "canine"]],
    ["names that only signs tell apart", ["c++", "c"], ["c", "c++"], ["c", "c++"]],
    ["case alone tells apart", ["polish", "Polish"], ["Polish", "polish"], ["Polish", "polish"]],
  ])("%s", async (_, list, classes, expected) => {
    expect(await namesOf(list, classes)).toEqual(expected);
  });

  it("are refused where some match in another order: the others cannot be placed", async () => {
    await expect(namesOf(["dog", "cat", "trout"], ["cat", "dog", "fish"])).rejects.toThrow('got none that is "fish"');
  });
});
