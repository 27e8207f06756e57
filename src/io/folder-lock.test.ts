import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withFolder } from "./folder-lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "florence-folder-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

const held = (pid: number, host = hostname()) => writeFile(join(folder, "lock"), `${pid}@${host} 0123456789abcdef`);
const done = async () => "done";

describe("withFolder", () => {
  it("makes the folder, and leaves no lock behind, also after a failure", async () => {
    const run = join(folder, "new", "run");
    expect(await withFolder(run, async () => existsSync(join(run, "lock")))).toBe(true);
    await expect(withFolder(run, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    expect(await readdir(run)).toEqual([]);
  });

  it("refuses a second user of the same process, but lets the first one's own calls pass", async () => {
    let release: () => void = () => undefined;
    const first = withFolder(folder, () => new Promise<void>((resolve) => (release = resolve)));
    while (!existsSync(join(folder, "lock"))) await new Promise((resolve) => setTimeout(resolve, 5));
    await symlink(folder, join(folder, "link"));
    for (const name of [`${folder}/`, join(folder, "link")]) {
      await expect(withFolder(name, done)).rejects.toMatchObject({ code: "busy" });
    }
    release();
    await first;
    expect(await withFolder(folder, () => withFolder(folder, done))).toBe("done");
  });

  it("refuses at once what a live process holds, with its number, however long it gave no sign of life", async () => {
    const other = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"]);
    try {
      await once(other, "spawn");
      await held(other.pid as number);
      const minuteAgo = new Date(Date.now() - 60_000);
      await utimes(join(folder, "lock"), minuteAgo, minuteAgo);
      await expect(withFolder(folder, done)).rejects.toMatchObject({
        code: "busy",
        message: expect.stringMatching(new RegExp(`^${folder}: .*process ${other.pid} .*delete ${folder}/lock`)),
      });
    } finally {
      other.kill("SIGKILL");
    }
    await once(other, "exit");
    expect(await withFolder(folder, done)).toBe("done"); // killed: taken over at once
  });

  it("takes over what the dead left: another process, one of this number, a host long silent", async () => {
    await held(spawnSync(process.execPath, ["-e", ""]).pid);
    expect(await withFolder(folder, done)).toBe("done");
    await held(process.pid);
    expect(await withFolder(folder, done)).toBe("done");
    await held(1, "elsewhere");
    await expect(withFolder(folder, done)).rejects.toThrow("process 1 on elsewhere");
    const hourAgo = new Date(Date.now() - 3_600_000);
    await utimes(join(folder, "lock"), hourAgo, hourAgo);
    expect(await withFolder(folder, done)).toBe("done");
    expect(await readdir(folder)).toEqual([]);
  });

  it("lets one of several processes in that take over what the dead left at the same moment", async () => {
    await held(spawnSync(process.execPath, ["-e", ""]).pid);
    const module = new URL("./folder-lock.ts", import.meta.url).href;
    const code = `
      import { withFolder } from ${JSON.stringify(module)};
      process.stdout.write("ready ");
      process.stdin.once("data", () => {
        const waiting = () => new Promise((resolve) => process.stdin.once("data", resolve));
        const action = () => (process.stdout.write("in "), waiting());
        withFolder(${JSON.stringify(folder)}, action).catch((error) => process.stdout.write(error.code)).then(() => process.exit());
      });`;
    const words = ["--import", "tsx", "--input-type=module", "-e", code];
    const children = Array.from({ length: 4 }, () => spawn(process.execPath, words));
    const outputs = children.map(() => "");
    const all = (isSo: (output: string) => boolean) =>
      new Promise<void>((resolve) => {
        for (const child of children) child.stdout.on("data", () => outputs.every(isSo) && resolve());
      });
    for (const [i, child] of children.entries()) child.stdout.on("data", (data) => (outputs[i] += String(data)));
    await all((output) => output.startsWith("ready "));
    const answered = all((output) => /(in |busy)$/.test(output));
    for (const child of children) child.stdin.write("go\n");
    await answered;
    expect(outputs.toSorted()).toEqual(["ready busy", "ready busy", "ready busy", "ready in "]);
    const exits = children.filter(({ exitCode }) => exitCode === null).map((child) => once(child, "exit"));
    for (const child of children) child.stdin.end("done\n");
    await Promise.all(exits);
    expect(await readdir(folder)).toEqual([]);
  }, 60_000);
});
