/// <reference lib="dom" preserve="true" />
import { UserError } from "../core/errors.ts";
import type { CallOptions } from "./aborting.ts";

/**
 * A file by its address.
 *
 * @param read  what to make of the answer: the body breaks off in it if the network or the signal does
 * @throws UserError `not-found`, `network` naming it; the signal's reason after an abort
 */
export async function fetchFile<Body>(
  address: string,
  read: (response: Response) => Promise<Body>,
  { signal }: CallOptions = {},
): Promise<Body> {
  signal?.throwIfAborted();
  let response: Response;
  try {
    response = await fetch(address, signal ? { signal } : {});
    if (response.ok) return await read(response);
  } catch (error) {
    signal?.throwIfAborted();
    const remedy = "Check the address and, if it is of another origin, that server's CORS headers.";
    throw new UserError("network", `${address}: must be reachable, got "${String(error)}". ${remedy}`, {
      cause: error,
    });
  }
  const code = response.status === 404 ? "not-found" : "network";
  throw new UserError(code, `${address}: must be there, the server answered ${response.status}. Check the address.`);
}
