import { RegistryError } from "../../oci/error.ts";
import type { Middleware } from "../transport/middleware.ts";
import type { AddressCheck } from "./address_check.ts";

/** What following redirects needs from outside. */
export interface RedirectOptions {
  /** The endpoint that the requests are for; it may lead to a private address only if it has one itself. */
  readonly registry: URL;
  readonly isPrivate: AddressCheck;
}

/** Most redirects that are followed for one request. */
export const MAX_REDIRECTS = 10;

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
// Where clouds keep their secrets, and no registry its blobs: IPv4, IPv6, and IPv4 in IPv6, as URL writes them.
const LINK_LOCAL = /^(?:169\.254\.|\[fe[89ab][0-9a-f]:|\[::ffff:a9fe:)/;
// For one origin alone. A signed URL of a storage service would even be refused with an Authorization beside it.
const OWN_HEADERS = ["authorization", "cookie", "proxy-authorization"];

/**
 * Follows redirects of GET and HEAD by hand: at most ten, never from https to http, never from a public registry to a
 * private address, and without the headers that were meant for the first origin alone.
 *
 * @throws {RegistryError} `BAD_GATEWAY` for a redirect that is not followed
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
      if (followed >= MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} one after the other`);
      if (!URL.canParse(location, from)) throw refuse("it leads to no URL");
      const to = new URL(location, from);
      if (to.protocol !== "https:" && to.protocol !== "http:") throw refuse("it leads to no URL of http");
      if (from.protocol === "https:" && to.protocol !== "https:") throw refuse(`${to.host} is not asked over https`);
      if (to.username !== "" || to.password !== "") throw refuse("it carries a user name");
      if (to.origin !== from.origin && await isPrivate(to) && !await isPrivate(registry)) {
        throw refuse(`${to.host} is a private address, ${registry.host} a public registry`);
      }
      if (to.origin !== from.origin && LINK_LOCAL.test(to.hostname)) throw refuse(`${to.host} is a link-local address`);
      const headers = new Headers(current.headers);
      if (to.origin !== from.origin) { for (const name of OWN_HEADERS) headers.delete(name); }
      current = new Request(to, { method: request.method, headers, signal: request.signal, redirect: "manual" });
    }
  };
}
