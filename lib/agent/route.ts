import { type Digest, parseDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";

/** What a request to the agent is for. */
export type AgentRoute =
  | { readonly kind: "packages" }
  | { readonly kind: "package"; readonly name: string }
  | { readonly kind: "plan" }
  | { readonly kind: "blob"; readonly digest: Digest }
  | { readonly kind: "inventory" };

const PACKAGES = "/kubepkgs";
const INVENTORY = "/inventory";
const READ = ["GET", "HEAD"];

/** Tells whether a path, which may have a query, is one of the agent's API. */
export function isAgentPath(path: string): boolean {
  return [PACKAGES, INVENTORY].some((root) => path.startsWith(root) && /^(?:$|[/?])/.test(path.slice(root.length)));
}

/**
 * Finds out what a request to the agent's API is for. Pure: nothing is looked up.
 *
 * @throws {RegistryError} `NOT_FOUND`; `UNSUPPORTED`, with the methods that there are as `detail.allow`;
 *   `DIGEST_INVALID`
 */
export function matchAgentRoute(method: string, url: URL): AgentRoute {
  const path = url.pathname.replace(/\/$/, "");
  if (path === PACKAGES) return allow(method, [...READ, "PUT"], { kind: "packages" });
  if (path === INVENTORY) return allow(method, READ, { kind: "inventory" });
  const [name, digest, ...more] = path.startsWith(`${PACKAGES}/`) ? path.slice(PACKAGES.length + 1).split("/") : [];
  if (name === undefined || name === "" || more.length > 0 || (digest !== undefined && name !== "blobs")) {
    throw new RegistryError("NOT_FOUND", "Cannot find the page: the agent has no such path");
  }
  if (digest !== undefined) {
    return allow(method, [...READ, "PUT"], { kind: "blob", digest: parseDigest(decode(digest)) });
  }
  // A package may have that name too; it is read, and a plan is posted.
  if (name === "plan" && !READ.includes(method)) return allow(method, [...READ, "POST"], { kind: "plan" });
  return allow(method, READ, { kind: "package", name: decode(name) });
}

function allow(method: string, methods: readonly string[], route: AgentRoute): AgentRoute {
  if (methods.includes(method)) return route;
  throw new RegistryError("UNSUPPORTED", `Cannot ${method}: this takes ${methods.join(", ")}`, {
    detail: { allow: methods.join(", ") },
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", "Cannot read the path: it is not percent-encoded UTF-8", { cause });
  }
}
