import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UserError } from "../core/errors.ts";

/** Where models come from and where they are kept, as the Python client's variables say. */
export interface HubSettings {
  /** `HF_ENDPOINT`, without a slash at the end. */
  readonly endpoint: string;
  /** `HF_HUB_CACHE`, else `hub` in `HF_HOME`. */
  readonly cacheFolder: string;
  /** `HF_TOKEN`; sent to the endpoint alone, never to the hosts that it redirects to. */
  readonly token: string | undefined;
  /** `HF_HUB_OFFLINE`: nothing is asked of the network. */
  readonly isOffline: boolean;
}

/** A repository of the hub at a revision: a branch, a tag or a commit. */
export interface HubReference {
  /** `OWNER/NAME` */
  readonly name: string;
  readonly revision: string;
}

const publicEndpoint = "https://huggingface.co";
const defaultRevision = "main";
const namePart = "[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?";
const referencePattern = new RegExp(`^(${namePart}/${namePart})(?:@([A-Za-z0-9][A-Za-z0-9_./-]*))?$`);

/**
 * Reads the hub's variables out of an environment.
 *
 * @throws UserError `bad-argument` if HF_ENDPOINT is not an http address
 */
export function hubSettingsFrom(environment: Readonly<Record<string, string | undefined>>): HubSettings {
  const endpoint = (environment.HF_ENDPOINT || publicEndpoint).replace(/\/+$/, "");
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint)) {
    throw new UserError("bad-argument", `HF_ENDPOINT: must be an http(s) address, got "${endpoint}". Correct it.`);
  }
  const expand = (path: string) => expandPath(path, environment);
  const home = environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  const cache = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE || join(expand(home), "hub");
  return {
    endpoint,
    cacheFolder: resolve(expand(cache)),
    token: environment.HF_TOKEN?.trim() || undefined,
    isOffline: /^(1|on|yes|true)$/i.test(environment.HF_HUB_OFFLINE ?? ""),
  };
}

/**
 * A path with a leading `~`, and then `$NAME` and `${NAME}`, replaced. No shell has done so where a variable comes from a
 * `.env` file, Docker or systemd. A name that is not set stays, as in the Python client.
 */
function expandPath(path: string, environment: Readonly<Record<string, string | undefined>>): string {
  return path
    .replace(/^~(?=$|[\\/])/, () => homedir())
    .replace(/\$(?:(\w+)|\{([^}]*)\})/g, (whole, bare, braced) => environment[bare ?? braced] ?? whole);
}

/** Reads `OWNER/NAME[@REV]`; undefined for a text that cannot be a name of the hub, such as a path. */
export function parseHubReference(text: string): HubReference | undefined {
  const match = referencePattern.exec(text);
  if (!match || text.includes("..") || match[1].includes("--")) return undefined;
  return { name: match[1], revision: match[2] ?? defaultRevision };
}

/** `OWNER/NAME`, with `@REV` unless that is the main branch. */
export function hubReferenceText({ name, revision }: HubReference): string {
  return revision === defaultRevision ? name : `${name}@${revision}`;
}

/** Whether a revision is a commit, which never changes. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
