import { type Digest, parseDigest } from "./digest.ts";
import { cannot, RegistryError } from "./error.ts";

/** A complete image reference: registry, repository, tag and digest. */
export interface Reference {
  /** The registry's host, lower case, with its port if it has one: `docker.io`, `registry.lan:5000`. */
  readonly host: string;
  /** The repository on that host: `library/nginx`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** The registry of a name without a host. */
export const DEFAULT_HOST = "docker.io";
// Docker Hub is also reachable under these names.
const DEFAULT_HOST_ALIASES = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

// The grammar of the distribution specification ("Pulling manifests"); the host follows distribution/reference.
const PATH_COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const PATH = new RegExp(`^${PATH_COMPONENT}(?:/${PATH_COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const HOST_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const HOST = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?$`);
// Nearly all hosts: a URL spells them in the same way, except for the case. Parsing a URL takes some microseconds.
const PLAIN_HOST = /^(?!.*xn--)(?:[a-z0-9-]+\.)*[a-z][a-z0-9-]*(?::[1-9][0-9]{0,3})?$/i;
const MAX_NAME_LENGTH = 255;

/** Reports whether `text` is a valid tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** @throws {RegistryError} `TAG_INVALID`, when a text is not a tag that `repo` can have */
export function checkTag(repo: string, tag: string): void {
  if (isTag(tag)) return;
  throw new RegistryError("TAG_INVALID", cannot(`tag ${repo}`, `${JSON.stringify(tag)} is not a tag`));
}

/** Reports whether `text` is a valid repository path without a host. */
export function isRepositoryPath(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && PATH.test(text);
}

/** Reports whether `text` is a host name or address, with or without a port, that a URL can have. */
export function isRegistryHost(text: string): boolean {
  if (text.length > MAX_NAME_LENGTH || !HOST.test(text)) return false;
  return PLAIN_HOST.test(text) || URL.canParse(`https://${text}`);
}

/** Reports whether the first segment of a name is a host: it has a dot or a port, or is `localhost`. */
export function isHostSegment(segment: string): boolean {
  return segment === "localhost" || /[.:]/.test(segment);
}

/**
 * Formats a host as the first segment of a path: `registry.lan:5000` → `registry.lan__5000`. podman, CRI-O and docker
 * append this segment to a registry address, and would read a second `:` as the start of a tag.
 */
export function formatHostSegment(host: string): string {
  return host.replace(/:([0-9]+)$/, "__$1");
}

/** Parses the first segment of a path as a host, with its port after `:` or `__`; `undefined` when it is not a host. */
export function parseHostSegment(segment: string): string | undefined {
  const match = /^([^_]+)__([0-9]{1,5})$/.exec(segment);
  if (match !== null && isRegistryHost(match[1]!)) return `${match[1]}:${match[2]}`;
  return isHostSegment(segment) ? segment : undefined;
}

/**
 * Normalizes a host: in the spelling that URLs use (lower case, `10.5:05000` as `10.0.0.5:5000`, the shortest form of an
 * IPv6 address), without the default port of https or http, and `docker.io` for each of Docker Hub's names. Rules about
 * a registry thus apply to every name that leads to it. `registry:443` keeps its port, without which it would not be
 * recognized as a host. A text that is not a host is only converted to lower case.
 */
export function normalizeHost(host: string): string {
  const lower = host.toLowerCase();
  const named = isRegistryHost(lower) ? spellAsInUrls(lower) : lower;
  const bare = named.replace(/:(?:443|80)$/, "");
  const normalized = isHostSegment(bare) ? bare : named;
  return DEFAULT_HOST_ALIASES.has(normalized) ? DEFAULT_HOST : normalized;
}

// A URL drops its default port, so the port is spelled apart from the name.
function spellAsInUrls(host: string): string {
  if (PLAIN_HOST.test(host)) return host;
  const [, name, port] = /^(.*?)(?::([0-9]+))?$/.exec(host)!;
  const { hostname } = new URL(`https://${name}`);
  return port === undefined ? hostname : `${hostname}:${Number(port)}`;
}

/**
 * Joins a host and a path into the repository name that the store uses: `docker.io/library/nginx`.
 *
 * @throws {RegistryError} `NAME_INVALID` when the host or the path is not valid
 */
export function formatRepository(host: string, path: string): string {
  const normalized = normalizeHost(host);
  const full = normalized === DEFAULT_HOST && !path.includes("/") ? `library/${path}` : path;
  if (!isRegistryHost(normalized) || !isRepositoryPath(full)) {
    throw new RegistryError(
      "NAME_INVALID",
      cannot(
        `use repository name ${quote(`${host}/${path}`)}`,
        'it may contain only lower-case letters, digits, "._-" and "/"',
      ),
    );
  }
  return `${normalized}/${full}`;
}

/** Splits a repository name of the store into host and path. */
export function splitRepository(name: string): { host: string; path: string } {
  const slash = name.indexOf("/");
  return { host: name.slice(0, slash), path: name.slice(slash + 1) };
}

/**
 * Parses an image reference in the same way as docker. A name without a host is on docker.io, and a single segment is
 * below `library/`. The host may have a port. A tag, a digest or both may follow; a missing tag is not filled in.
 *
 * @throws {RegistryError} `NAME_INVALID`, `TAG_INVALID` or `DIGEST_INVALID` when that part is not valid
 */
export function parseReference(text: string): Reference {
  const [beforeDigest = "", digestText, ...more] = text.split("@");
  if (more.length > 0) throw new RegistryError("NAME_INVALID", cannot(`use image ${quote(text)}`, "more than one @"));
  const digest = digestText === undefined ? undefined : parseDigest(digestText);

  const colon = beforeDigest.lastIndexOf(":");
  const hasTag = colon > beforeDigest.lastIndexOf("/") && (beforeDigest.includes("/") || colon > 0);
  const name = hasTag ? beforeDigest.slice(0, colon) : beforeDigest;
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !isTag(tag)) {
    throw new RegistryError("TAG_INVALID", cannot(`use image ${quote(text)}`, `${quote(tag)} is not a valid tag`));
  }

  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasHost = slash > 0 && isHostSegment(first);
  const repository = hasHost ? formatRepository(first, name.slice(slash + 1)) : formatRepository(DEFAULT_HOST, name);
  const { host, path } = splitRepository(repository);
  return {
    host,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/**
 * The one spelling of a reference that says which image is meant: with its host, and with `latest` where it has neither
 * tag nor digest, as in docker.
 */
export function withDefaultTag(reference: Reference): Reference {
  const { tag, digest } = reference;
  return tag === undefined && digest === undefined ? { ...reference, tag: "latest" } : reference;
}

/** A reference by tag, or by digest where it has no tag; with `latest` where it has neither. A tag takes precedence. */
export function withTagOrDigest({ host, path, tag, digest }: Reference): Reference {
  return tag === undefined && digest !== undefined ? { host, path, digest } : { host, path, tag: tag ?? "latest" };
}

/** Formats a complete reference: `docker.io/library/nginx:1.27@sha256:…`. */
export function formatReference(reference: Reference): string {
  const { host, path, tag, digest } = reference;
  return `${host}/${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** Returns the repository name that the store uses for a reference. */
export function repositoryOf(reference: Reference): string {
  return `${reference.host}/${reference.path}`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);
}
