import { cannot, type ErrorCode, RegistryError } from "../oci/error.ts";
import { respondError } from "../registry/answer.ts";
import { splitUrl } from "../registry/route.ts";
import { isLoopback } from "./own_hosts.ts";

// RFC 3986, 3.2.2 and 3.2.3, without escapes and sub-delimiters, which host names do not contain. Underscores are
// allowed because names of containers have them; the port may be empty.
const AUTHORITY = /^(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?$/;
const MAX_PORT = 65_535;
const HEALTH_PATH = "/healthz";

/** Reports whether a text is a valid value of the `Host` header: `host` or `host:port`. */
export function isAuthority(text: string): boolean {
  const match = AUTHORITY.exec(text);
  return match !== null && Number(match[1] ?? 0) <= MAX_PORT;
}

/**
 * Rejects a request with an invalid host (RFC 9112, 3.2). This check must run before any other use of the URL: the
 * server builds the URL from the header and the target, and `Host: a/v2/_catalog?` would result in another path.
 *
 * A request without the header is refused, as HTTP/1.1 requires; the runtime does not tell which version a request has.
 * Health checks may leave it out, because load balancers send them with HTTP/1.0. The host of an absolute target is
 * checked as well. Transfer-Encoding beside Content-Length is refused, because a proxy may read the other one (RFC 9112,
 * 6.1).
 *
 * @returns the error response; `undefined` when the host is valid
 */
export function refuseBadHost({ method, url, headers }: Request): Response | undefined {
  const host = headers.get("host");
  if (host === null && splitUrl(url).path !== HEALTH_PATH) return refuse(method, "the Host header is missing");
  if (host !== null && !isAuthority(host)) return answerBadHost(method, "Host header", host);
  if (headers.has("transfer-encoding") && headers.has("content-length")) {
    return refuse(method, "Content-Length and Transfer-Encoding exclude each other");
  }
  const start = url.indexOf("://") + 3;
  const end = url.indexOf("/", start);
  const authority = url.slice(start, end < 0 ? undefined : end);
  if (authority === host || isAuthority(authority)) return undefined;
  return answerBadHost(method, "host of the request target", authority);
}

function answerBadHost(method: string, where: string, text: string): Response {
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
  return refuse(method, `the ${where} must be a host with or without a port, not ${shown}`);
}

function refuse(method: string, reason: string, code: ErrorCode = "BAD_REQUEST"): Response {
  return respondError(new RegistryError(code, cannot("answer", reason)), method);
}

const FORWARDED = ["forwarded", "x-forwarded-for", "via"];
// Names that the public DNS does not have, so that no web page can have them.
const PRIVATE_NAME = /^[^.]+$|\.(?:localhost|local|internal|lan|home\.arpa)$/;

/**
 * Finds the host of a request that may come from a web page by DNS rebinding: the page makes its own name mean an address
 * of this machine, and can then read private images in the name of a user of the network.
 *
 * Registries are reached under many names, so that a foreign name alone is no reason to refuse a request. It is one when
 * the connection was made to the loopback interface, where no other machine's name leads, unless a proxy has forwarded the
 * request; and when the request is that of a browser.
 *
 * @param isOwnHost reports whether a host is this machine, or was allowed
 * @returns the host; `undefined` when the request is none of those
 */
export function findForeignHost(
  { url, headers }: Request,
  { localAddress, isOwnHost }: { localAddress: string; isOwnHost: (host: string) => boolean },
): string | undefined {
  const hosts = [URL.parse(url)?.hostname, URL.parse(`http://${headers.get("host")}`)?.hostname];
  const foreign = hosts.find((host) => host !== undefined && isPublicName(host) && !isOwnHost(host));
  if (foreign === undefined) return undefined;
  const isForwarded = FORWARDED.some((name) => headers.has(name));
  return (isLoopback(localAddress) && !isForwarded) || isBrowser(headers) ? foreign : undefined;
}

/** Creates the response to a request for a foreign host. */
export function refuseForeignHost({ method }: Request, host: string): Response {
  const shown = JSON.stringify(host.slice(0, 160));
  return refuse(method, `${shown} is not a name of this machine; start it with --host-name to allow it`, "DENIED");
}

// An address is no name, and IPv6 addresses have no dots.
function isPublicName(host: string): boolean {
  const name = host.replace(/\.$/, "").toLowerCase();
  return !/^[0-9.]+$/.test(name) && !name.startsWith("[") && !PRIVATE_NAME.test(name);
}

// A page can change some of these headers, but not leave them all out. Other clients of registries send none of them.
function isBrowser(headers: Headers): boolean {
  return headers.has("origin") || headers.has("sec-fetch-site") || headers.has("accept-language") ||
    /^Mozilla\//.test(headers.get("user-agent") ?? "");
}
