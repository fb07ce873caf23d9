import { RegistryError } from "../oci/error.ts";
import { answerError } from "../registry/answer.ts";

// RFC 3986, 3.2.2 and 3.2.3, without what no name of a machine has (escapes, sub-delimiters). Names of containers have
// underscores; the port may be empty.
const AUTHORITY = /^(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?$/;
const MAX_PORT = 65_535;

/** Tells whether a text is `host` or `host:port`, as the `Host` header of HTTP has it. */
export function isAuthority(text: string): boolean {
  const match = AUTHORITY.exec(text);
  return match !== null && Number(match[1] ?? 0) <= MAX_PORT;
}

/**
 * Refuses a request of which the host is none (RFC 9112, 3.2). It has to come before all else that looks at the URL: the
 * server puts that together of the header and the target, and a `Host: a/v2/_catalog?` would give it another path.
 *
 * A request without the header passes (HTTP/1.0 has none). An absolute target's own host is looked at as well; which it is
 * does not matter (RFC 9112, 3.2.2): all that is asked here is ours.
 *
 * @returns the answer; `undefined` where there is nothing to refuse
 */
export function refuseBadHost({ method, url, headers }: Request): Response | undefined {
  const host = headers.get("host");
  if (host !== null && !isAuthority(host)) return answerBadHost(method, "Host header", host);
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  const authority = url.slice(start, end < 0 ? undefined : end);
  if (authority === host || isAuthority(authority)) return undefined;
  return answerBadHost(method, "request's target", authority);
}

function answerBadHost(method: string, where: string, text: string): Response {
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
  const reason = `the ${where} has to name a host, with or without port, not ${shown}`;
  const answer = answerError(new RegistryError("BAD_REQUEST", `Cannot answer: ${reason}`));
  return new Response(method === "HEAD" ? null : answer.body as BodyInit, answer);
}
