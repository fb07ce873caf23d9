import { cannot, RegistryError } from "../oci/error.ts";
import type { PageConnection, PageOptions } from "./page_options.ts";

// Headers of a reverse proxy. Behind one, every client seems to be on this machine.
const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/** Refuses a request that a page of another site makes without an Origin, such as that of an image. */
export function checkSite({ headers }: Request): void {
  const site = headers.get("sec-fetch-site");
  if (site === null || site === "same-origin" || site === "none") return;
  throw new RegistryError("DENIED", cannot("answer", "the request is from a web page of another origin"));
}

/** Reports whether a request comes from this machine itself, and not through a proxy. */
export function isLocal({ headers }: Request, url: URL, { remoteAddress }: PageConnection): boolean {
  if (FORWARDED.some((name) => headers.has(name))) return false;
  return isLoopback(remoteAddress) && isLoopback(url.hostname);
}

/**
 * Checks that a request may read: it has the token, or is from this machine.
 *
 * @throws {RegistryError} `UNAUTHORIZED`
 */
export async function checkReader(
  request: Request,
  { url, connection, options }: { url: URL; connection: PageConnection; options: PageOptions },
): Promise<void> {
  const { tokens, isPrivate } = options;
  // A wrong token is an error even where none is needed, so that a page with an old one asks for another.
  if (!isPrivate && !request.headers.has("authorization") && isLocal(request, url, connection)) return;
  await tokens.check(request.headers, { scope: "read", action: "answer" });
}

function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").replace(/^::ffff:/i, "").toLowerCase();
  return name === "localhost" || name === "::1" || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}
