import { allow, decodeSegment, READ } from "../agent/route.ts";
import { acceptsType } from "../http/accepted_type.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";

/** The folder of the page's files. */
export const ASSETS = "/page/";
/** The root of the page's API. */
export const API = "/api/";

/**
 * Reports whether a request is for the page, its files or its API. `/` is the page only for a browser: other clients get
 * a text from the registry.
 *
 * @param path the path, with or without a query
 */
export function isPageRequest(path: string, headers: Headers): boolean {
  if (path.startsWith(ASSETS) || path.startsWith(API)) return true;
  // Every browser names the type itself when it opens a page.
  return (path === "/" || path.startsWith("/?")) && acceptsType(headers, "text/html");
}

/** The target of a request about agents, other than their list. */
export type NodeRoute =
  | { readonly kind: "node-addition" | "node-search" }
  | { readonly kind: "node-removal" | "node-plan" | "node-send"; readonly node: string }
  | { readonly kind: "node-rollback" | "node-package-removal"; readonly node: string; readonly name: string };

/** The target of a request to the page's API. */
export type ApiRoute =
  | NodeRoute
  | {
    readonly kind:
      | "access"
      | "status"
      | "images"
      | "packages"
      | "doctor"
      | "session"
      | "codes"
      | "outbox"
      | "jobs"
      | "packs"
      | "nodes"
      | "inventory"
      | "inventories"
      | "registries";
  }
  | { readonly kind: "bundle" | "bundle-link" | "bundle-removal"; readonly digest: Digest }
  | { readonly kind: "release-check" | "image-pull" | "image-removal" | "partials-removal" }
  | { readonly kind: "site-save" | "site-removal"; readonly name: string }
  | { readonly kind: "registry-save" | "registry-removal" | "registry-test"; readonly host: string }
  | { readonly kind: "job-end"; readonly id: string }
  | { readonly kind: "rollback" | "remove"; readonly name: string }
  | { readonly kind: "package-status"; readonly name: string };

/**
 * The paths below `API`, and the kind of the route for each method; HEAD is answered as GET. A segment `:name` is a field of
 * the route.
 */
const ROUTES: readonly (readonly [path: string, kinds: Readonly<Record<string, ApiRoute["kind"]>>])[] = [
  ["access", { GET: "access" }],
  ["status", { GET: "status" }],
  ["doctor", { GET: "doctor" }],
  ["session", { POST: "session" }],
  ["codes", { POST: "codes" }],
  ["jobs", { GET: "jobs" }],
  ["jobs/:id", { DELETE: "job-end" }],
  ["packs", { POST: "packs" }],
  ["releases/check", { POST: "release-check" }],
  ["images", { GET: "images", POST: "image-pull", DELETE: "image-removal" }],
  ["inventory", { GET: "inventory" }],
  ["inventories", { GET: "inventories" }],
  ["inventories/:name", { PUT: "site-save", DELETE: "site-removal" }],
  ["registries", { GET: "registries" }],
  ["registries/:host", { PUT: "registry-save", DELETE: "registry-removal" }],
  ["registries/:host/test", { POST: "registry-test" }],
  ["packages", { GET: "packages" }],
  ["packages/:name", { DELETE: "remove" }],
  ["packages/:name/rollback", { POST: "rollback" }],
  ["packages/:name/status", { GET: "package-status" }],
  ["outbox", { GET: "outbox" }],
  ["outbox/partials", { DELETE: "partials-removal" }],
  ["outbox/:digest", { GET: "bundle", DELETE: "bundle-removal" }],
  ["outbox/:digest/link", { POST: "bundle-link" }],
  ["nodes", { GET: "nodes", POST: "node-addition" }],
  ["nodes/search", { POST: "node-search" }],
  ["nodes/:node", { DELETE: "node-removal" }],
  ["nodes/:node/plan", { POST: "node-plan" }],
  ["nodes/:node/send", { POST: "node-send" }],
  ["nodes/:node/packages/:name", { DELETE: "node-package-removal" }],
  ["nodes/:node/packages/:name/rollback", { POST: "node-rollback" }],
];

/**
 * Parses the target of a request to the page's API.
 *
 * @throws {RegistryError} `NOT_FOUND` for an unknown path; `UNSUPPORTED` for an unknown method, with the known ones in
 *   `detail.allow`; `NAME_INVALID` for a name that is not valid
 */
export function matchApiRoute(method: string, { pathname }: URL): ApiRoute {
  // A fixed segment may be percent-encoded, as any other (RFC 3986, 6.2.2.2).
  const segments = pathname.slice(API.length).split("/").map(decodeSegment);
  for (const [path, kinds] of ROUTES) {
    const fields = matchPath(path.split("/"), segments);
    if (fields === undefined || fields.digest !== undefined && !isDigest(fields.digest)) continue;
    const methods = Object.keys(kinds).flatMap((it) => it === "GET" ? READ : it);
    const kind = allow(method, methods, kinds[method === "HEAD" ? "GET" : method]);
    return { kind, ...fields } as ApiRoute;
  }
  throw new RegistryError("NOT_FOUND", cannot("find the page", "the API has no such path"));
}

function matchPath(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const fields: Record<string, string> = {};
  for (const [i, wanted] of pattern.entries()) {
    const segment = segments[i]!;
    if (wanted.startsWith(":") && segment !== "") fields[wanted.slice(1)] = segment;
    else if (wanted !== segment) return undefined;
  }
  return fields;
}
