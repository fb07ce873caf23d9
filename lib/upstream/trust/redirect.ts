import { cannot, RegistryError } from "../../oci/error.ts";
import type { Middleware } from "../transport/middleware.ts";
import type { AddressCheck } from "./address_check.ts";
import { whyAddressRefused } from "./address_rule.ts";

/** Options of `withRedirects`. */
interface RedirectOptions {
  /** The endpoint of the requests; `whyAddressRefused` decides what it may redirect to. */
  readonly registry: URL;
  readonly checkAddress: AddressCheck;
}

/** Maximum number of redirects that are followed for one request. */
const MAX_REDIRECTS = 10;

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
// These headers are only for the first origin. In addition, storage services reject a signed URL that is sent with an
// Authorization.
const ORIGIN_HEADERS = ["authorization", "cookie", "proxy-authorization", "via"];

/**
 * Follows redirects of GET and HEAD. It follows at most ten, never from https to http and never to an address
 * that `whyAddressRefused` refuses, and does not send credentials to another origin. The resulting `Fetch` throws a `RegistryError`
 * `BAD_GATEWAY` for a redirect that is not followed.
 */
export function withRedirects({ registry, checkAddress }: RedirectOptions): Middleware {
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
        new RegistryError("BAD_GATEWAY", cannot(`follow the redirect of ${from.host}`, reason));
      if (followed >= MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} redirects in a row`);
      if (!URL.canParse(location, from)) throw refuse("its target is not a URL");
      const to = new URL(location, from);
      if (to.protocol !== "https:" && to.protocol !== "http:") throw refuse("its target is not an http or https URL");
      if (from.protocol === "https:" && to.protocol !== "https:") throw refuse(`${to.host} does not use https`);
      if (to.username !== "" || to.password !== "") throw refuse("its target has a user name or a password");
      const refused = to.origin === from.origin ? undefined : await whyAddressRefused(registry, to, checkAddress);
      if (refused !== undefined) throw refuse(refused);
      const headers = new Headers(current.headers);
      if (to.origin !== from.origin) { for (const name of ORIGIN_HEADERS) headers.delete(name); }
      current = new Request(to, { method: request.method, headers, signal: request.signal, redirect: "manual" });
    }
  };
}
