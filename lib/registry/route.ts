import { type Digest, parseDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import {
  DEFAULT_HOST,
  formatRepository,
  isRegistryHost,
  isTag,
  normalizeHost,
  parseHostSegment,
} from "../oci/reference.ts";

/** What a request is for, every part of it checked against its grammar. */
export type Route =
  | { readonly kind: "health" }
  | { readonly kind: "ping"; readonly ns?: string }
  | CatalogRoute
  | ManifestRoute
  | BlobRoute
  | TagsRoute
  | ReferrersRoute;

/** Which page of a list is asked for, still as the client wrote it: see `parsePage`. */
export interface ListQuery {
  readonly n?: string;
  readonly last?: string;
}

/** What every route to a repository has. */
interface RepositoryRoute {
  /** The store's name of the repository: `docker.io/library/nginx`. */
  readonly repo: string;
  /** The name as the client wrote it: `nginx`. */
  readonly name: string;
  /** The host of containerd's `?ns=`, as it was sent. */
  readonly ns?: string;
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

// Spegel's and k3s' habit, and that of mirrors which put one upstream's registry under one folder.
const MIRROR = /^\/(?:hub-prefix-mirrors|mirrors)\/([^/]+)(\/v2(?:\/.*)?)$/;

/**
 * Finds out what a request is for. Pure: nothing is looked up.
 *
 * The repository's host is the one of `?ns=`, else the one in front of `/v2`, else the first segment of the name if
 * that looks like a host, else docker.io.
 *
 * @param url the request's URL, or its path and query alone; not normalised, as it was sent
 * @returns `undefined` for a path that is none of the registry's
 * @throws {RegistryError} `NAME_INVALID`, `DIGEST_INVALID`, or `MANIFEST_UNKNOWN` for what is no tag: nothing can be
 *   stored under it, and that is what the distribution specification's conformance tests expect
 */
export function matchRoute(url: string): Route | undefined {
  const { path: encodedPath, query } = splitUrl(url);
  const path = decodePath(encodedPath);
  if (path.startsWith("/v2")) return matchApi(path, query, undefined);
  if (path === "/healthz") return { kind: "health" };
  const mirror = MIRROR.exec(path);
  return mirror === null ? undefined : matchApi(mirror[2]!, query, checkHost(mirror[1]!));
}

/** The path and the query (without `?`) of a URL, exactly as they stand in it. */
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

// Once, and the whole path before it is split, as every registry made with Go does it. What a second decoding would
// bring to light is then a `%`, which no grammar has.
function decodePath(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", "Cannot read the path: it is not percent-encoded UTF-8", { cause });
  }
}

/** @param path starts with `/v2` */
function matchApi(path: string, query: string, mirrorHost: string | undefined): Route | undefined {
  const params = query === "" ? undefined : new URLSearchParams(query);
  const ns = params?.get("ns") ?? undefined;
  if (ns !== undefined) checkHost(ns);
  const common = ns === undefined ? undefined : { ns };
  if (path === "/v2/" || path === "/v2") return { kind: "ping", ...common };
  if (path === "/v2/_catalog") return { kind: "catalog", ...common, ...listQuery(params) };
  if (path.charCodeAt(3) !== 0x2f) return undefined;

  // From the right: `manifests`, `blobs` and so on can be segments of the name too.
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
      const artifactType = params?.get("artifactType") || undefined;
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
    // A hosts.toml with `override_path` and `…/v2/quay.io` as server sends the host twice: `/v2/quay.io/a/b?ns=quay.io`.
    const isTwice = first !== undefined && normalizeHost(first) === normalizeHost(ns);
    return formatRepository(ns, isTwice ? rest : name);
  }
  if (mirrorHost !== undefined) return formatRepository(mirrorHost, name);
  return first === undefined ? formatRepository(DEFAULT_HOST, name) : formatRepository(first, rest);
}

function checkHost(host: string): string {
  if (isRegistryHost(host)) return host;
  throw new RegistryError("NAME_INVALID", `Cannot use ${quote(host)} as the name of a registry: it is not a host`);
}

function checkReference(text: string): string {
  if (text.includes(":")) return parseDigest(text);
  if (isTag(text)) return text;
  throw new RegistryError("MANIFEST_UNKNOWN", `Cannot find manifest ${quote(text)}: it is neither a tag nor a digest`);
}

function listQuery(params: URLSearchParams | undefined): ListQuery {
  const n = params?.get("n") ?? undefined;
  const last = params?.get("last") ?? undefined;
  return { ...(n === undefined ? undefined : { n }), ...(last === undefined ? undefined : { last }) };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}…` : text);
}
