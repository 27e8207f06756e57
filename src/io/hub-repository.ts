import { z } from "zod";
import { UserError } from "../core/errors.ts";
import {
  type HubConnection,
  hostOf,
  requestSubject,
  sendToHub,
  TransientFailure,
  withRetries,
} from "./hub-requests.ts";
import { type HubReference, isCommit } from "./hub-settings.ts";

/** What identifies a file's bytes; its hexadecimal form is the file's name among the cache's blobs. */
export interface Checksum {
  /** Large files are known by their SHA-256, small ones by git's SHA-1 over `blob SIZE\0` and the bytes. */
  readonly kind: "sha256" | "git-sha1";
  readonly hex: string;
}

export interface HubFile {
  readonly name: string;
  readonly size: number; // bytes
  readonly checksum: Checksum;
}

/** A repository at one commit. */
export interface HubRepository {
  readonly commit: string;
  /** Names of the files at its top; those in folders belong to no checkpoint that we read. */
  readonly names: ReadonlySet<string>;
  /** A file's size and checksum. @throws UserError `unsupported` if the server gives none */
  describe(name: string): Promise<HubFile>;
}

const answerSchema = z.object({
  sha: z.string().refine(isCommit, "not a commit"),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.number().int().nonnegative().optional(),
      blobId: z.string().optional(),
      lfs: z.object({ sha256: z.string(), size: z.number().int().nonnegative() }).nullish(),
    }),
  ),
});

/**
 * Asks the hub for a revision's commit and files.
 *
 * @throws UserError `not-found`, `unreadable`, `network`, or `unsupported` if the answer is not the hub's
 */
export async function describeRepository(connection: HubConnection, reference: HubReference): Promise<HubRepository> {
  const { sha, siblings } = await withRetries(connection, () => askForModel(connection, reference));
  const files = new Map(
    siblings.filter(({ rfilename }) => isPlainName(rfilename)).map((file) => [file.rfilename, file]),
  );
  return {
    commit: sha,
    names: new Set(files.keys()),
    describe: async (name) => {
      const { lfs, size, blobId } = files.get(name) ?? {};
      const checksum = checksumOf(lfs ? lfs.sha256 : blobId);
      const bytes = lfs ? lfs.size : size;
      if (checksum && bytes !== undefined) return { name, size: bytes, checksum };
      return withRetries(connection, () => askForFile(connection, reference, sha, name)); // mirrors may list names only
    },
  };
}

/** Where a file's bytes are, from the endpoint's root. */
export function resolvePath(reference: HubReference, commit: string, name: string): string {
  return `/${reference.name}/resolve/${commit}/${encodeURIComponent(name)}`;
}

async function askForModel(connection: HubConnection, reference: HubReference): Promise<z.infer<typeof answerSchema>> {
  const path = `/api/models/${reference.name}/revision/${encodeURIComponent(reference.revision)}?blobs=true`;
  const response = await sendToHub(connection, reference, path);
  const subject = `${requestSubject(reference)}: ${hostOf(response.url)} must`;
  const text = await response.text().catch((error: unknown) => {
    const detail = error instanceof Error ? error.message : String(error);
    throw new TransientFailure(new UserError("network", `${subject} finish its answer, got ${detail}. Try again.`));
  });
  const answer = answerSchema.safeParse(parsedJson(text));
  if (answer.success) return answer.data;
  const issue = answer.error.issues[0];
  const got = `${issue?.path.join(".") || "the whole"}: ${issue?.message}`;
  throw new UserError("unsupported", `${subject} answer as the hub does, got ${got}. Check HF_ENDPOINT.`);
}

async function askForFile(
  connection: HubConnection,
  reference: HubReference,
  commit: string,
  name: string,
): Promise<HubFile> {
  // A large file's checksum stands in the redirect itself, not in the answer of the host that it leads to.
  const response = await sendToHub(connection, reference, resolvePath(reference, commit, name), {
    method: "HEAD",
    keepsRedirect: true,
    headers: { "accept-encoding": "identity" }, // else the length is that of the packed bytes
    file: name,
  });
  const { headers } = response;
  const checksum = checksumOf((headers.get("x-linked-etag") ?? headers.get("etag"))?.replace(/^W\/|"/g, ""));
  const size = Number(headers.get("x-linked-size") ?? headers.get("content-length") ?? Number.NaN);
  if (checksum && Number.isInteger(size)) return { name, size, checksum };
  const rule = "the server must give the file's size and checksum";
  const got = `got status ${response.status} with neither of use`;
  throw new UserError("unsupported", `${requestSubject(reference, name)}: ${rule}, ${got}. Check HF_ENDPOINT.`);
}

function checksumOf(hex: string | undefined): Checksum | undefined {
  if (hex && /^[0-9a-f]{64}$/.test(hex)) return { kind: "sha256", hex };
  if (hex && /^[0-9a-f]{40}$/.test(hex)) return { kind: "git-sha1", hex };
  return undefined;
}

/** A file at the top of the repository whose name is safe as a file name here. */
function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
