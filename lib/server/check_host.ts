import { RegistryError } from "../oci/error.ts";
import { answerError } from "../registry/answer.ts";

// RFC 3986, 3.2.2 and 3.2.3, without escapes and sub-delimiters, which host names do not contain. Underscores are
// allowed because names of containers have them; the port may be empty.
const AUTHORITY = /^(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?$/;
const MAX_PORT = 65_535;

/** Reports whether a text is a valid value of the `Host` header: `host` or `host:port`. */
export function isAuthority(text: string): boolean {
  const match = AUTHORITY.exec(text);
  return match !== null && Number(match[1] ?? 0) <= MAX_PORT;
}

/**
 * Rejects a request with an invalid host (RFC 9112, 3.2). This check must run before any other use of the URL: the
 * server builds the URL from the header and the target, and `Host: a/v2/_catalog?` would result in another path.
 *
 * A request without the header is accepted (HTTP/1.0 does not require it). The host of an absolute target is checked as
 * well. Any valid host is accepted (RFC 9112, 3.2.2), because crpe serves the same content under every name.
 *
 * @returns the error response; `undefined` when the host is valid
 */
export function refuseBadHost({ method, url, headers }: Request): Response | undefined {
  const host = headers.get("host");
  if (host !== null && !isAuthority(host)) return answerBadHost(method, "Host header", host);
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  const authority = url.slice(start, end < 0 ? undefined : end);
  if (authority === host || isAuthority(authority)) return undefined;
  return answerBadHost(method, "host of the request target", authority);
}

function answerBadHost(method: string, where: string, text: string): Response {
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
  const reason = `the ${where} must be a host with or without a port, not ${shown}`;
  const answer = answerError(new RegistryError("BAD_REQUEST", `Cannot answer: ${reason}`));
  return new Response(method === "HEAD" ? null : answer.body as BodyInit, answer);
}
