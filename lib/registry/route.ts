import { type Digest, parseDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import {
  DEFAULT_HOST,
  formatRepository,
  isRegistryHost,
  isTag,
  normalizeHost,
  parseHostSegment,
} from "../oci/reference.ts";

/** The parsed route of a request; every part of it is valid. */
export type Route =
  | { readonly kind: "health" }
  | { readonly kind: "root" }
  | PingRoute
  | CatalogRoute
  | ManifestRoute
  | BlobRoute
  | TagsRoute
  | ReferrersRoute;

/** The paging parameters of a request, not yet parsed; see `parsePage`. */
export interface ListQuery {
  readonly n?: string;
  readonly last?: string;
}

/** The common part of every route to a repository. */
interface RepositoryRoute {
  /** The repository name that the store uses: `docker.io/library/nginx`. */
  readonly repo: string;
  /** The name in the request: `nginx`. */
  readonly name: string;
  /** The host in containerd's `?ns=`, as received. */
  readonly ns?: string;
}

/** `GET /v2/` */
interface PingRoute {
  readonly kind: "ping";
  readonly ns?: string;
  /** The host in the prefix of a mirror. */
  readonly host?: string;
}

/** `GET /v2/_catalog` */
export interface CatalogRoute extends ListQuery {
  readonly kind: "catalog";
  readonly ns?: string;
}

/** `GET /v2/<name>/manifests/<reference>` */
export interface ManifestRoute extends RepositoryRoute {
  readonly kind: "manifest";
  /** A tag or a digest. */
  readonly reference: string;
}

/** `GET /v2/<name>/blobs/<digest>` */
export interface BlobRoute extends RepositoryRoute {
  readonly kind: "blob";
  readonly digest: Digest;
}

/** `GET /v2/<name>/tags/list` */
export interface TagsRoute extends RepositoryRoute, ListQuery {
  readonly kind: "tags";
}

/** `GET /v2/<name>/referrers/<digest>` */
export interface ReferrersRoute extends RepositoryRoute {
  readonly kind: "referrers";
  readonly digest: Digest;
  readonly artifactType?: string;
}

// Spegel, k3s and some mirrors use such a prefix for each upstream registry.
const MIRROR = /^\/(?:hub-prefix-mirrors|mirrors)\/([^/]+)(\/v2(?:\/.*)?)$/;

/**
 * Parses the URL of a request. The function is pure: it does not access the store.
 *
 * The host of the repository is taken from `?ns=`, else from the prefix before `/v2`, else from the first segment of
 * the name if that is a host; else it is docker.io.
 *
 * @param url the URL of the request, or only its path and query, as received and not normalized
 * @returns `undefined` for a path that is not part of the registry API
 * @throws {RegistryError} `NAME_INVALID`, `DIGEST_INVALID`, or `MANIFEST_UNKNOWN` for an invalid tag: no manifest can
 *   have that tag, and the conformance tests of the distribution specification expect this code
 */
export function matchRoute(url: string): Route | undefined {
  const { path: encodedPath, query } = splitUrl(url);
  const path = decodePath(encodedPath);
  if (path.startsWith("/v2")) return matchApi(path, query, undefined);
  if (path === "/healthz") return { kind: "health" };
  if (path === "/") return { kind: "root" };
  const mirror = MIRROR.exec(path);
  return mirror === null ? undefined : matchApi(mirror[2]!, query, checkHost(mirror[1]!));
}

/** Splits a URL into its path and its query (without `?`), without decoding or normalizing them. */
export function splitUrl(url: string): { path: string; query: string } {
  const scheme = url.startsWith("/") ? -1 : url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  if (start < 0) return { path: "", query: "" };
  const hash = url.indexOf("#", start);
  const end = hash < 0 ? url.length : hash;
  const mark = url.indexOf("?", start);
  if (mark < 0 || mark > end) return { path: url.slice(start, end), query: "" };
  return { path: url.slice(start, mark), query: url.slice(mark + 1, end) };
}

// The whole path is decoded once, before it is split, as in every registry that is written in Go. A path that was
// encoded twice still contains a `%`, which no grammar allows.
function decodePath(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", cannot("read the path", "it is not percent-encoded UTF-8"), { cause });
  }
}

/** @param path starts with `/v2` */
function matchApi(path: string, query: string, mirrorHost: string | undefined): Route | undefined {
  const params = query === "" ? undefined : new URLSearchParams(query);
  const ns = params?.get("ns") ?? undefined;
  if (ns !== undefined) checkHost(ns);
  const common = ns === undefined ? undefined : { ns };
  if (path === "/v2/" || path === "/v2") {
    return { kind: "ping", ...common, ...(mirrorHost === undefined ? undefined : { host: mirrorHost }) };
  }
  if (path === "/v2/_catalog") return { kind: "catalog", ...common, ...listQuery(params) };
  if (path.charCodeAt(3) !== 0x2f) return undefined;

  // The path is split from the right, because `manifests`, `blobs` and so on can also be segments of the name.
  const beforeLast = path.lastIndexOf("/");
  const beforeKind = path.lastIndexOf("/", beforeLast - 1);
  if (beforeKind <= 3) return undefined;
  const kind = path.slice(beforeKind + 1, beforeLast);
  const last = path.slice(beforeLast + 1);
  if (last === "") return undefined;
  const repository = () => {
    const name = path.slice(4, beforeKind);
    return { repo: nameRepository(name, ns, mirrorHost), name, ...common };
  };
  switch (kind) {
    case "manifests":
      return { kind: "manifest", ...repository(), reference: checkReference(last) };
    case "blobs":
      return { kind: "blob", ...repository(), digest: parseDigest(last) };
    case "tags":
      return last === "list" ? { kind: "tags", ...repository(), ...listQuery(params) } : undefined;
    case "referrers": {
      // A media type has no space: clients send the "+" of one as it is, which a query reads as a space.
      const artifactType = params?.get("artifactType")?.replaceAll(" ", "+") || undefined;
      return {
        kind: "referrers",
        ...repository(),
        digest: parseDigest(last),
        ...(artifactType === undefined ? undefined : { artifactType }),
      };
    }
    default:
      return undefined;
  }
}

function nameRepository(name: string, ns: string | undefined, mirrorHost: string | undefined): string {
  const slash = name.indexOf("/");
  const first = slash < 0 ? undefined : parseHostSegment(name.slice(0, slash));
  const rest = name.slice(slash + 1);
  if (ns !== undefined) {
    // A hosts.toml with `override_path` and the server `…/v2/quay.io` repeats the host: `/v2/quay.io/a/b?ns=quay.io`.
    const isRepeated = first !== undefined && normalizeHost(first) === normalizeHost(ns);
    return formatRepository(ns, isRepeated ? rest : name);
  }
  if (mirrorHost !== undefined) return formatRepository(mirrorHost, name);
  return first === undefined ? formatRepository(DEFAULT_HOST, name) : formatRepository(first, rest);
}

function checkHost(host: string): string {
  if (isRegistryHost(host)) return host;
  throw new RegistryError("NAME_INVALID", cannot(`use ${quote(host)} as the name of a registry`, "it is not a host"));
}

function checkReference(text: string): string {
  if (text.includes(":")) return parseDigest(text);
  if (isTag(text)) return text;
  throw new RegistryError(
    "MANIFEST_UNKNOWN",
    cannot(`find manifest ${quote(text)}`, "it is neither a tag nor a digest"),
  );
}

function listQuery(params: URLSearchParams | undefined): ListQuery {
  const n = params?.get("n") ?? undefined;
  const last = params?.get("last") ?? undefined;
  return { ...(n === undefined ? undefined : { n }), ...(last === undefined ? undefined : { last }) };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
}
