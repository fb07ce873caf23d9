import { type Digest, parseDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";

/** The target of a request to the agent. */
export type AgentRoute =
  | { readonly kind: "packages" }
  | {
    readonly kind: "package" | "manifests" | "receipt";
    readonly name: string;
    readonly namespace: string | undefined;
  }
  | { readonly kind: "plan" }
  | { readonly kind: "blob"; readonly digest: Digest }
  | { readonly kind: "inventory" };

const PACKAGES = "/kubepkgs";
const INVENTORY = "/inventory";
const BELOW_PACKAGE = ["manifests", "receipt"] as const;
/** The methods of what is only read. */
export const READ = ["GET", "HEAD"];

/** Reports whether a path, with or without a query, belongs to the agent's API. */
export function isAgentPath(path: string): boolean {
  return [PACKAGES, INVENTORY].some((root) => path.startsWith(root) && /^(?:$|[/?])/.test(path.slice(root.length)));
}

/**
 * Parses the target of a request to the agent's API. The function is pure: it does not look anything up.
 *
 * @throws {RegistryError} `NOT_FOUND` for an unknown path; `UNSUPPORTED` for an unknown method, with the known ones in
 *   `detail.allow`; `DIGEST_INVALID` or `NAME_INVALID` for a segment that is not valid
 */
export function matchAgentRoute(method: string, url: URL): AgentRoute {
  const path = url.pathname.replace(/\/$/, "");
  if (path === PACKAGES) return allow(method, [...READ, "PUT"], { kind: "packages" });
  if (path === INVENTORY) return allow(method, READ, { kind: "inventory" });
  const [name, below, ...more] = path.startsWith(`${PACKAGES}/`) ? path.slice(PACKAGES.length + 1).split("/") : [];
  const kind = BELOW_PACKAGE.find((it) => it === below);
  const isKnown = below === undefined || kind !== undefined || name === "blobs";
  if (name === undefined || name === "" || more.length > 0 || !isKnown) {
    throw new RegistryError("NOT_FOUND", cannot("find the page", "the agent has no such path"));
  }
  const namespace = url.searchParams.get("namespace") ?? undefined;
  // A digest has a colon, so this is also for a package named "blobs".
  if (kind !== undefined) return allow(method, READ, { kind, name: decodeSegment(name), namespace });
  if (below !== undefined) {
    return allow(method, [...READ, "PUT"], { kind: "blob", digest: parseDigest(decodeSegment(below)) });
  }
  // A package may be named "plan" as well: reading is for the package, and POST for the plan.
  if (name === "plan" && !READ.includes(method)) return allow(method, [...READ, "POST"], { kind: "plan" });
  return allow(method, READ, { kind: "package", name: decodeSegment(name), namespace });
}

/**
 * Checks the method of a request.
 *
 * @returns `route`
 * @throws {RegistryError} `UNSUPPORTED` for another method than those that are known, with these in `detail.allow`
 */
export function allow<T>(method: string, methods: readonly string[], route: T): T {
  if (methods.includes(method)) return route;
  const allowed = methods.join(", ");
  throw new RegistryError("UNSUPPORTED", cannot(method, `this path supports only ${allowed}`), {
    detail: { allow: allowed },
  });
}

/** Decodes a segment of a path. @throws {RegistryError} `NAME_INVALID` when it is not valid */
export function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", cannot("read the path", "it is not percent-encoded UTF-8"), { cause });
  }
}
