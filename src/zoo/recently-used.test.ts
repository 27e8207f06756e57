import { describe, expect, it } from "vitest";
import { RecentlyUsed } from "./recently-used.ts";

describe("RecentlyUsed", () => {
  it("keeps what was used last, makes each once while it is kept, and releases what it drops", async () => {
    const made: string[] = [];
    const released: string[] = [];
    const values = new RecentlyUsed<string>(2, async (value) => void released.push(value));
    const get = (key: string): Promise<string> =>
      values.get(key, async () => {
        made.push(key);
        return key;
      });
    for (const key of ["a", "b", "a", "c", "a"]) expect(await get(key)).toBe(key);
    expect(made).toEqual(["a", "b", "c"]);
    expect(released).toEqual(["b"]);
    await values.dispose();
    expect(released).toEqual(["b", "c", "a"]);
  });
});
