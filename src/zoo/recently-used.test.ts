import { describe, expect, it } from "vitest";
import { RecentlyUsed } from "./recently-used.ts";

describe("RecentlyUsed", () => {
  it("keeps what was used last, makes each once while it is kept, and releases what it drops", async () => {
    const made: string[] = [];
    const released: string[] = [];
    const values = new RecentlyUsed<string>(2, async (value) => void released.push(value));
    const get = (key: string): Promise<string> =>
      values.use(
        key,
        async () => {
          made.push(key);
          return key;
        },
        async (value) => value,
      );
    for (const key of ["a", "b", "a", "c", "a"]) expect(await get(key)).toBe(key);
    expect(made).toEqual(["a", "b", "c"]);
    expect(released).toEqual(["b"]);
    await values.dispose();
    expect(released).toEqual(["b", "c", "a"]);
  });

  it("releases nothing that is in use, and each value once", async () => {
    const released: string[] = [];
    const values = new RecentlyUsed<string>(2, async (value) => void released.push(value));
    let made = 0;
    const used = await Promise.all(
      ["a", "b", "c", "d", "a"].map((key) =>
        values.use(
          key,
          async () => {
            await new Promise((resolve) => setTimeout(resolve, 2));
            return `${key}${++made}`;
          },
          async (value) => {
            await new Promise((resolve) => setTimeout(resolve, 5));
            return { value, wasReleased: released.includes(value) };
          },
        ),
      ),
    );
    expect(used.map(({ value }) => value[0])).toEqual(["a", "b", "c", "d", "a"]);
    expect(used.some(({ wasReleased }) => wasReleased)).toBe(false);
    await values.dispose();
    expect(new Set(released).size).toBe(5); // a was made twice, since it was dropped in between
    expect(released).toHaveLength(5);
  });

  it("tries again what could not be made, and tells those alone who asked for it", async () => {
    const values = new RecentlyUsed<string>(1, async () => undefined);
    const failing = values.use(
      "a",
      () => Promise.reject(new Error("no memory")),
      async (value) => value,
    );
    const other = values.use(
      "b",
      async () => "b",
      async (value) => value,
    );
    await expect(failing).rejects.toThrow("no memory");
    expect(await other).toBe("b");
    expect(
      await values.use(
        "a",
        async () => "a",
        async (value) => value,
      ),
    ).toBe("a");
  });
});
