import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { hubReferenceText, hubSettingsFrom, parseHubReference } from "./hub-settings.ts";

const braced = (name: string) => `\${${name}}`;

describe("hubSettingsFrom", () => {
  it.each([
    [{}, join(homedir(), ".cache/huggingface/hub")],
    [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/x", HF_HOME: "/h" }, "/h/hub"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/c" }, "/c"],
    [{ HF_HUB_CACHE: "", HF_HOME: "" }, join(homedir(), ".cache/huggingface/hub")], // empty is as good as unset
    [{ HF_HOME: "~/hf" }, join(homedir(), "hf/hub")],
    [{ HF_HOME: "~" }, join(homedir(), "hub")],
    [{ HF_HUB_CACHE: "~/c" }, join(homedir(), "c")],
    [{ HUGGINGFACE_HUB_CACHE: "~/old" }, join(homedir(), "old")],
    [{ XDG_CACHE_HOME: "~/x" }, join(homedir(), "x/huggingface/hub")],
    [{ HF_HOME: "$DISK/hf", DISK: "/d" }, "/d/hf/hub"],
    [{ HF_HUB_CACHE: `/a/${braced("WHO")}_1/$WHO`, WHO: "me" }, "/a/me_1/me"],
    [{ HF_HUB_CACHE: `/a/$NOBODY/${braced("NO")}` }, `/a/$NOBODY/${braced("NO")}`], // not set: left as it stands
    [{ HF_HUB_CACHE: "/a/~/b~" }, "/a/~/b~"],
    [{ HF_HUB_CACHE: "~other/hf" }, "~other/hf"], // whose home that is, Node does not tell
  ])("finds the cache as the Python client does: %j", (environment, folder) => {
    expect(hubSettingsFrom(environment).cacheFolder).toBe(resolve(folder));
  });

  it("reads endpoint, token and offline mode", () => {
    expect(hubSettingsFrom({})).toMatchObject({
      endpoint: "https://huggingface.co",
      token: undefined,
      isOffline: false,
    });
    const settings = hubSettingsFrom({ HF_ENDPOINT: "http://mirror:8/hf/", HF_TOKEN: " t\n", HF_HUB_OFFLINE: "yes" });
    expect(settings).toMatchObject({ endpoint: "http://mirror:8/hf", token: "t", isOffline: true });
    expect(hubSettingsFrom({ HF_HUB_OFFLINE: "0" }).isOffline).toBe(false);
  });

  it.each(["mirror", "ftp://mirror", "http://"])("refuses the endpoint %s", (endpoint) => {
    expect(() => hubSettingsFrom({ HF_ENDPOINT: endpoint })).toThrow(/HF_ENDPOINT: must be an http/);
  });
});

describe("parseHubReference", () => {
  it.each([
    ["openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32", "main"],
    ["laion/CLIP_b.32@v1.0", "laion/CLIP_b.32", "v1.0"],
    ["a/b@refs/pr/3", "a/b", "refs/pr/3"],
  ])("reads %s", (text, name, revision) => {
    expect(parseHubReference(text)).toEqual({ name, revision });
    expect(hubReferenceText({ name, revision })).toBe(text);
  });

  it.each([
    "florence-nano", // one part: a bundled model
    "./a/b",
    "/a/b",
    "a/b/c",
    "a/../b",
    "a/b@../../c",
    "a/b@",
    "a/b--c", // its folder in the cache could be another model's
    "C:\\a/b",
    "a/b c",
  ])("takes %s for no name of the hub", (text) => {
    expect(parseHubReference(text)).toBeUndefined();
  });
});
