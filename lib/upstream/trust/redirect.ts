import { RegistryError } from "../../oci/error.ts";
import type { Middleware } from "../transport/middleware.ts";
import type { AddressCheck } from "./address_check.ts";

/** Options of `withRedirects`. */
export interface RedirectOptions {
  /** The endpoint of the requests. It may redirect to a private address only if its own address is private. */
  readonly registry: URL;
  readonly isPrivate: AddressCheck;
}

/** Maximum number of redirects that are followed for one request. */
export const MAX_REDIRECTS = 10;

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
// Link-local addresses, in the form that a URL has: IPv4, IPv6, and IPv4 in IPv6. Metadata services of clouds, which
// return secrets, use them; no registry stores its blobs there.
const LINK_LOCAL = /^(?:169\.254\.|\[fe[89ab][0-9a-f]:|\[::ffff:a9fe:)/;
// These headers are only for the first origin. In addition, storage services reject a signed URL that is sent with an
// Authorization.
const ORIGIN_HEADERS = ["authorization", "cookie", "proxy-authorization"];

/**
 * Follows redirects of GET and HEAD. It follows at most ten, never from https to http and never from a public registry
 * to a private address, and does not send credentials to another origin. The resulting `Fetch` throws a `RegistryError`
 * `BAD_GATEWAY` for a redirect that is not followed.
 */
export function withRedirects({ registry, isPrivate }: RedirectOptions): Middleware {
  return (next) => async (request) => {
    let current = request;
    for (let followed = 0;; followed++) {
      const response = await next(current);
      const location = response.headers.get("location");
      const isFollowed = request.method === "GET" || request.method === "HEAD";
      if (!isFollowed || location === null || !REDIRECTS.has(response.status)) return response;
      await response.body?.cancel();
      const from = new URL(current.url);
      const refuse = (reason: string) =>
        new RegistryError("BAD_GATEWAY", `Cannot follow the redirect of ${from.host}: ${reason}`);
      if (followed >= MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} redirects in a row`);
      if (!URL.canParse(location, from)) throw refuse("its target is not a URL");
      const to = new URL(location, from);
      if (to.protocol !== "https:" && to.protocol !== "http:") throw refuse("its target is not an http or https URL");
      if (from.protocol === "https:" && to.protocol !== "https:") throw refuse(`${to.host} does not use https`);
      if (to.username !== "" || to.password !== "") throw refuse("its target has a user name or a password");
      if (to.origin !== from.origin && await isPrivate(to) && !await isPrivate(registry)) {
        throw refuse(`${to.host} is a private address, but ${registry.host} is a public registry`);
      }
      if (to.origin !== from.origin && LINK_LOCAL.test(to.hostname)) throw refuse(`${to.host} is a link-local address`);
      const headers = new Headers(current.headers);
      if (to.origin !== from.origin) { for (const name of ORIGIN_HEADERS) headers.delete(name); }
      current = new Request(to, { method: request.method, headers, signal: request.signal, redirect: "manual" });
    }
  };
}
