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
  return (path === "/" || path.startsWith("/?")) && acceptsHtml(headers.get("accept") ?? "");
}

// RFC 9110, 12.5.1. Every browser names the type itself when it opens a page.
function acceptsHtml(accept: string): boolean {
  return accept.split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return type === "text/html" && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
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

const READ = ["GET", "HEAD"];
const PLAIN_ROUTES = {
  access: READ,
  status: READ,
  packages: READ,
  doctor: READ,
  session: ["POST"],
  codes: ["POST"],
  outbox: READ,
  jobs: READ,
  packs: ["POST"],
  inventory: READ,
  inventories: READ,
  registries: READ,
} as const;

/**
 * Parses the target of a request to the page's API.
 *
 * @throws {RegistryError} `NOT_FOUND` for an unknown path; `UNSUPPORTED` for an unknown method, with the known ones in
 *   `detail.allow`; `NAME_INVALID` for a name that is not valid
 */
export function matchApiRoute(method: string, { pathname }: URL): ApiRoute {
  const segments = pathname.slice(API.length).split("/");
  if (segments[0] === "nodes") return matchNodes(method, segments.slice(1).map(decode));
  const [kind = "", name, action, ...more] = segments;
  if (name === undefined && Object.hasOwn(PLAIN_ROUTES, kind)) {
    const plain = kind as keyof typeof PLAIN_ROUTES;
    return allow(method, PLAIN_ROUTES[plain], { kind: plain });
  }
  if (kind === "images" && name === undefined) {
    const kinds = { POST: "image-pull", DELETE: "image-removal" } as const;
    return allow(method, [...READ, "POST", "DELETE"], { kind: kinds[method as keyof typeof kinds] ?? "images" });
  }
  if (kind === "inventories" && name !== undefined && action === undefined) {
    return allow(method, ["PUT", "DELETE"], {
      kind: method === "PUT" ? "site-save" : "site-removal",
      name: decode(name),
    });
  }
  if (kind === "registries" && name !== undefined && more.length === 0) {
    const host = decode(name);
    if (action === "test") return allow(method, ["POST"], { kind: "registry-test", host });
    if (action === undefined) {
      return allow(method, ["PUT", "DELETE"], { kind: method === "PUT" ? "registry-save" : "registry-removal", host });
    }
  }
  if (kind === "packages" && name !== undefined && name !== "" && more.length === 0) {
    if (action === undefined) return allow(method, ["DELETE"], { kind: "remove", name: decode(name) });
    if (action === "rollback") return allow(method, ["POST"], { kind: "rollback", name: decode(name) });
    if (action === "status") return allow(method, READ, { kind: "package-status", name: decode(name) });
  }
  if (action === undefined && kind === "releases" && name === "check") {
    return allow(method, ["POST"], { kind: "release-check" });
  }
  if (action === undefined && kind === "jobs" && name !== undefined) {
    return allow(method, ["DELETE"], { kind: "job-end", id: name });
  }
  if (kind === "outbox" && name === "partials" && action === undefined) {
    return allow(method, ["DELETE"], { kind: "partials-removal" });
  }
  if (kind === "outbox" && name !== undefined && isDigest(name) && more.length === 0) {
    if (action === "link") return allow(method, ["POST"], { kind: "bundle-link", digest: name });
    if (action === undefined) {
      return allow(method, [...READ, "DELETE"], {
        kind: method === "DELETE" ? "bundle-removal" : "bundle",
        digest: name,
      });
    }
  }
  throw unknownPath();
}

function matchNodes(method: string, [node, action, name, change, ...more]: string[]): ApiRoute {
  if (node === undefined) {
    return allow(method, [...READ, "POST"], { kind: method === "POST" ? "node-addition" : "nodes" });
  }
  if (more.length > 0) throw unknownPath();
  if (action === undefined) {
    if (node === "search") return allow(method, ["POST"], { kind: "node-search" });
    return allow(method, ["DELETE"], { kind: "node-removal", node });
  }
  if (action === "packages" && name !== undefined && name !== "") {
    if (change === undefined) return allow(method, ["DELETE"], { kind: "node-package-removal", node, name });
    if (change === "rollback") return allow(method, ["POST"], { kind: "node-rollback", node, name });
  }
  if (name === undefined && action === "plan") return allow(method, ["POST"], { kind: "node-plan", node });
  if (name === undefined && action === "send") return allow(method, ["POST"], { kind: "node-send", node });
  throw unknownPath();
}

function unknownPath(): RegistryError {
  return new RegistryError("NOT_FOUND", cannot("find the page", "the API has no such path"));
}

function allow(method: string, methods: readonly string[], route: ApiRoute): ApiRoute {
  if (methods.includes(method)) return route;
  const allowed = methods.join(", ");
  throw new RegistryError("UNSUPPORTED", cannot(method, `this path supports only ${allowed}`), {
    detail: { allow: allowed },
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", cannot("read the path", "it is not percent-encoded UTF-8"), { cause });
  }
}
