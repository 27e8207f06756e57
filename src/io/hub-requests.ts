import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../core/errors.ts";
import { type HubReference, type HubSettings, hubReferenceText } from "./hub-settings.ts";

/** A way to the hub: its settings, and how patient to be with it. */
export interface HubConnection {
  readonly settings: HubSettings;
  readonly signal?: AbortSignal | undefined;
  /** The wait after the first failure, doubled with each further one. Default 500 ms. */
  readonly retryDelayMs?: number;
  /** An answer that brings nothing for so long counts as dropped. Default 30 s. */
  readonly stallMs?: number;
}

const attempts = 6;
const longestDelayMs = 15_000;
const longestAskedWaitMs = 120_000;

/** What is known of a failure that may be gone at the next attempt. */
interface FailureFacts {
  /** How long the server asked to wait, if it did. */
  readonly waitMs?: number | undefined;
  /** Whether something was achieved before it: then the count of attempts begins anew. Default false. */
  readonly hasProgressed?: boolean;
  /** Whether a second one, with nothing achieved between, is final. Default false. */
  readonly isRefusal?: boolean;
}

/** A failure that may be gone at the next attempt. */
export class TransientFailure extends Error {
  /** What to report if it does not go. */
  readonly failure: UserError;
  readonly facts: FailureFacts;

  constructor(failure: UserError, facts: FailureFacts = {}) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.facts = facts;
  }
}

/**
 * Repeats `action` while it throws {@link TransientFailure}, with growing waits.
 *
 * @throws what `action` throws else; the last failure after six attempts that brought nothing, or after a second
 *         refusal; the signal's reason
 */
export async function withRetries<Result>(connection: HubConnection, action: () => Promise<Result>): Promise<Result> {
  const { signal, retryDelayMs = 500 } = connection;
  for (let failed = 0, refused = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof TransientFailure)) throw error;
      const { waitMs = 0, hasProgressed, isRefusal } = error.facts;
      if (hasProgressed) failed = refused = 0;
      failed++;
      if (isRefusal) refused++;
      if (failed >= attempts || refused > 1 || waitMs > longestAskedWaitMs) throw error.failure;
      // Half of the wait is random, so that clients cut off together do not come back together.
      const delay = Math.min(longestDelayMs, retryDelayMs * 2 ** (failed - 1)) * (0.5 + Math.random() / 2);
      await sleep(Math.max(delay, waitMs), undefined, signal ? { signal } : {}).catch(() => undefined);
    }
  }
}

export interface HubRequest {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: the connection's. */
  readonly signal?: AbortSignal;
  /** Answers a redirect as it is. Default: it is followed. */
  readonly keepsRedirect?: boolean;
  /** A status that is an answer too. */
  readonly accepts?: number;
  /** The file that is asked for, for messages. */
  readonly file?: string;
}

/**
 * Sends one request to the endpoint. `fetch` drops the token when a redirect leads to another host.
 *
 * @param path  from the endpoint's root, such as `/api/models/OWNER/NAME`
 * @throws TransientFailure for a lost connection, 408, 429, 5xx, and a refusal of a host that the endpoint redirects
 *         to; UserError for any other refusal
 */
export async function sendToHub(
  { settings, signal }: HubConnection,
  reference: HubReference,
  path: string,
  request: HubRequest = {},
): Promise<Response> {
  const url = `${settings.endpoint}${path}`;
  const headers: Record<string, string> = { "user-agent": "florence", ...request.headers };
  if (settings.token) headers.authorization = `Bearer ${settings.token}`;
  const stop = request.signal ?? signal;
  const subject = requestSubject(reference, request.file);
  let response: Response;
  try {
    response = await fetch(url, {
      method: request.method ?? "GET",
      headers,
      redirect: request.keepsRedirect ? "manual" : "follow",
      ...(stop ? { signal: stop } : {}),
    });
  } catch (error) {
    throw new TransientFailure(connectionError(subject, url, error));
  }
  const isRedirect = response.status >= 300 && response.status < 400;
  if (response.ok || response.status === request.accepts || (isRedirect && request.keepsRedirect)) return response;
  await response.body?.cancel().catch(() => undefined);
  throw elsewhereRefusal(response, subject, settings) ?? refusal(response, reference, subject, settings);
}

/** What the message of a request begins with: `OWNER/NAME[@REV] FILE`. */
export function requestSubject(reference: HubReference, file?: string): string {
  return file === undefined ? hubReferenceText(reference) : `${hubReferenceText(reference)} ${file}`;
}

/** Who answers at an address, for messages: the rest of a signed one is a grant to download, which no log should hold. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "the server";
}

/** The error of a connection that failed or broke; `url` is the last address that is known. */
export function connectionError(subject: string, url: string, error: unknown): UserError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : "";
  const detail = code || (inner instanceof Error ? inner.message : String(inner));
  // Of a redirect only the error tells where it led.
  const host = inner instanceof Error && "hostname" in inner ? String(inner.hostname) : hostOf(url);
  const remedy = "Check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what the cache holds.";
  return new UserError("network", `${subject}: ${host} must answer, got ${detail}. ${remedy}`, { cause: error });
}

/**
 * The refusal of another host than the endpoint, such as the one that keeps the large files: it says nothing of the
 * model, unless it speaks as the hub does (a mirror may lead there). Tried once more, for an address that was signed
 * for too short a time.
 */
function elsewhereRefusal(response: Response, subject: string, settings: HubSettings): TransientFailure | undefined {
  const { status, headers, url } = response;
  const host = hostOf(url);
  const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  if (!isFinal || url === "" || headers.has("x-error-code") || host === hostOf(settings.endpoint)) return undefined;
  const rule = `${host} must let the download through`;
  const got = `got ${status}; a proxy or firewall may block it`;
  const remedy = "Allow that host, or set HF_ENDPOINT to a mirror.";
  return new TransientFailure(new UserError("network", `${subject}: ${rule}, ${got}. ${remedy}`), { isRefusal: true });
}

function refusal(
  response: Response,
  reference: HubReference,
  subject: string,
  settings: HubSettings,
): UserError | TransientFailure {
  const { status, headers } = response;
  const model = hubReferenceText(reference);
  const reason = headers.get("x-error-code") ?? "";
  const page = `${settings.endpoint}/${reference.name}`;
  if (reason === "GatedRepo" || (status === 403 && settings.token)) {
    const remedy = settings.token
      ? `Accept its terms on ${page} with the account of HF_TOKEN, and let the token read it.`
      : `Accept its terms on ${page} and set HF_TOKEN.`;
    return new UserError("unreadable", `${model}: must be open to you, got ${status} (gated). ${remedy}`);
  }
  if (status === 401 || status === 403) {
    // The hub answers so for names that do not exist too, lest it tell which private ones do.
    const got = `got ${status}: no such model, or a private one`;
    const remedy = settings.token ? "Check the name and that HF_TOKEN is valid." : "Check the name, or set HF_TOKEN.";
    return new UserError("unreadable", `${model}: must be a model that you may read, ${got}. ${remedy}`);
  }
  if (status === 404) {
    if (reason === "RevisionNotFound") {
      const rule = "the revision must be a branch, tag or commit of the model";
      return new UserError("not-found", `${model}: ${rule}, got 404. See ${page}/tree/main.`);
    }
    return new UserError("not-found", `${model}: must be on ${settings.endpoint}, got 404. Check the name.`);
  }
  if (status === 429) {
    const waitMs = retryAfterMs(headers.get("retry-after"));
    const wait = waitMs === undefined ? "Wait a while" : `Wait ${Math.ceil(waitMs / 1000)} s`;
    const remedy = `${wait}${settings.token ? "" : ", or set HF_TOKEN: accounts may ask more often"}.`;
    const failure = new UserError("network", `${model}: too many requests, got 429. ${remedy}`);
    return new TransientFailure(failure, { waitMs });
  }
  const rule = `${hostOf(response.url)} must answer with what was asked for`;
  const failure = new UserError("network", `${subject}: ${rule}, got ${status}. Try again later.`);
  return status === 408 || status >= 500 ? new TransientFailure(failure) : failure;
}

/** A Retry-After header, in seconds or as a date, in milliseconds from now. */
function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
