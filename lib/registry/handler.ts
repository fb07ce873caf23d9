import { countBody } from "../bytes/counted_body.ts";
import type { ContentCatalog } from "../content/source.ts";
import { allowsRange, matchesEtag } from "../http/conditional.ts";
import { parseRange } from "../http/range.ts";
import { type ErrorCode, RegistryError } from "../oci/error.ts";
import { MEDIA_TYPE } from "../oci/manifest.ts";
import { type Answer, answerContent, answerError, answerJson, answerNotModified, contentHeaders } from "./answer.ts";
import { formatNextLink, parsePage, takePage } from "./paging.ts";
import {
  type BlobRoute,
  type CatalogRoute,
  type ManifestRoute,
  matchRoute,
  type ReferrersRoute,
  type Route,
  type TagsRoute,
} from "./route.ts";

/** What one answer was, for metrics and the log. */
export interface ResponseInfo {
  readonly method: string;
  /** What was asked for; `undefined` where the path or the method is none of the registry's, or malformed. */
  readonly kind: Route["kind"] | undefined;
  /** The store's name of the repository. */
  readonly repo: string | undefined;
  readonly status: number;
  /** Bytes of body that were given to the server to be sent. It is a few chunks ahead of the client. */
  readonly bytes: number;
  /** Whether the body broke off, or its client went away, before all of it was given to be sent. */
  readonly isAborted: boolean;
}

/** What a registry handler is given from outside. */
export interface RegistryHandlerOptions<Context = unknown> {
  /** Told of each failure of which the client only learns that there was one. */
  readonly onError?: (error: unknown, request: Request) => void;
  /** Told of each request that an upstream is the reason for failing; the client is given that reason. */
  readonly onUpstreamError?: (error: RegistryError, request: Request) => void;
  /** Told of each answer when its body has been given to be sent, with what the handler was called with. */
  readonly onResponse?: (info: ResponseInfo, context: Context | undefined) => void;
  /** Told whose turn it is while a body is sent: the client's, which has been given what there was, or the body's. */
  readonly onBackpressure?: (waitsForClient: boolean, context: Context | undefined) => void;
  /** Throws when nothing can be served; `/healthz` then answers 503. */
  readonly checkHealth?: () => Promise<void>;
}

const UPSTREAM_CODES: readonly ErrorCode[] = ["BAD_GATEWAY", "DENIED", "TOOMANYREQUESTS", "UNAVAILABLE"];
const PING_HEADERS = { "docker-distribution-api-version": "registry/2.0" };

/**
 * Makes the pull-only registry of the distribution specification out of what `catalog` has.
 *
 * The handler never throws. Where a body breaks off in the middle (a source that fails, bytes that are not those of the
 * digest) the server aborts the connection. Newer releases of Deno then call the `onError` of `Deno.serve`, and print a
 * stack trace where it is missing; the one given here hears nothing of it.
 */
export function createRegistryHandler<Context = unknown>(
  catalog: ContentCatalog,
  options: RegistryHandlerOptions<Context> = {},
): (request: Request, context?: Context) => Promise<Response> {
  const { onError, onUpstreamError, onResponse, onBackpressure, checkHealth } = options;
  return async (request, context) => {
    const { method } = request;
    let route: Route | undefined;
    let answer: Answer;
    try {
      if (method !== "GET" && method !== "HEAD") {
        throw new RegistryError("UNSUPPORTED", `Cannot ${method}: this registry is for pulling only`);
      }
      route = matchRoute(request.url);
      answer = await answerRoute(catalog, route, request, checkHealth);
    } catch (error) {
      if (error instanceof RegistryError && UPSTREAM_CODES.includes(error.code)) onUpstreamError?.(error, request);
      answer = answerError(error instanceof RegistryError ? error : hideError(error, request, onError));
    }
    // The distribution specification, "Pulling manifests": so that the client knows its `ns` was understood.
    if (route !== undefined && "ns" in route && route.ns !== undefined) answer.headers["oci-namespace"] = route.ns;
    const body = method === "HEAD" ? null : answer.body;
    const length = body === null ? 0 : answer.length;
    const end = (bytes: number) =>
      onResponse?.({
        method,
        kind: route?.kind,
        repo: route !== undefined && "repo" in route ? route.repo : undefined,
        status: answer.status,
        bytes,
        isAborted: bytes < length,
      }, context);
    if (onResponse !== undefined && body instanceof ReadableStream) {
      const counted = countBody(body, length, end, (waitsForClient) => onBackpressure?.(waitsForClient, context));
      return new Response(counted as BodyInit, answer);
    }
    end(length);
    return new Response(body as BodyInit | null, answer);
  };
}

function hideError(error: unknown, request: Request, onError: RegistryHandlerOptions["onError"]): RegistryError {
  onError?.(error, request);
  return new RegistryError("INTERNAL", "Cannot answer: an error inside the registry; its log says more");
}

function answerRoute(
  catalog: ContentCatalog,
  route: Route | undefined,
  request: Request,
  checkHealth: RegistryHandlerOptions["checkHealth"],
): Promise<Answer> | Answer {
  switch (route?.kind) {
    case "manifest":
      return answerManifest(catalog, route, request);
    case "blob":
      return request.method === "HEAD" || request.headers.has("if-none-match")
        ? answerBlobKnown(catalog, route, request)
        : answerBlob(catalog, route, request);
    case "tags":
      return answerTags(catalog, route, request);
    case "catalog":
      return answerCatalog(catalog, route, request);
    case "referrers":
      return answerReferrers(catalog, route);
    case "ping":
      return answerJson({}, PING_HEADERS);
    case "health":
      return answerHealth(checkHealth);
    default:
      throw new RegistryError("NOT_FOUND", "Cannot find the page: the registry has no such path");
  }
}

async function answerManifest(catalog: ContentCatalog, route: ManifestRoute, request: Request): Promise<Answer> {
  const { repo, reference } = route;
  const descriptor = await catalog.resolve(repo, reference);
  if (descriptor === undefined) throw unknownManifest(repo, reference);
  if (matchesEtag(request.headers.get("if-none-match"), descriptor.digest)) return answerNotModified(descriptor.digest);
  if (request.method === "HEAD") return answerContent(descriptor);
  // By the digest from here on: the tag may move meanwhile.
  const bytes = await catalog.readManifest(repo, descriptor.digest);
  if (bytes === undefined) throw unknownManifest(repo, reference);
  return answerContent(descriptor, bytes);
}

async function answerBlob(catalog: ContentCatalog, { repo, digest }: BlobRoute, request: Request): Promise<Answer> {
  const { headers } = request;
  const range = allowsRange(headers.get("if-range"), digest) ? parseRange(headers.get("range")) : undefined;
  const opened = await catalog.openBlob(repo, digest, range);
  if (opened === undefined) throw unknownBlob(repo, digest);
  const { size, start, length, body } = opened;
  const answer = { status: 200, headers: blobHeaders(digest, length), body, length };
  if (range === undefined) return answer;
  answer.headers["content-range"] = `bytes ${start}-${start + length - 1}/${size}`;
  return { ...answer, status: 206 };
}

// Nothing is opened where no byte will be sent. A range has no meaning with HEAD (RFC 9110, 14.2).
async function answerBlobKnown(catalog: ContentCatalog, route: BlobRoute, request: Request): Promise<Answer> {
  const { repo, digest } = route;
  const size = await catalog.statBlob(repo, digest);
  if (size === undefined) throw unknownBlob(repo, digest);
  if (matchesEtag(request.headers.get("if-none-match"), digest)) return answerNotModified(digest);
  if (request.method === "GET") return answerBlob(catalog, route, request);
  return { status: 200, headers: blobHeaders(digest, size), body: null, length: size };
}

function blobHeaders(digest: BlobRoute["digest"], length: number): Record<string, string> {
  return {
    ...contentHeaders(digest),
    "content-type": "application/octet-stream",
    "content-length": String(length),
    "accept-ranges": "bytes",
  };
}

async function answerTags(catalog: ContentCatalog, route: TagsRoute, request: Request): Promise<Answer> {
  const page = parsePage(route);
  const tags = await catalog.listTags(route.repo);
  if (tags === undefined) {
    throw new RegistryError("NAME_UNKNOWN", `Cannot list tags: there is no repository ${route.repo}`, {
      detail: { name: route.repo },
    });
  }
  const { entries, isMore } = takePage(tags, page);
  return answerJson({ name: route.name, tags: entries }, linkHeader(request, entries, isMore));
}

async function answerCatalog(catalog: ContentCatalog, route: CatalogRoute, request: Request): Promise<Answer> {
  const page = parsePage(route);
  const { entries, isMore } = takePage(await catalog.listRepositories(), page);
  return answerJson({ repositories: entries }, linkHeader(request, entries, isMore));
}

function linkHeader(request: Request, entries: readonly string[], isMore: boolean): Record<string, string> | undefined {
  const last = entries.at(-1);
  return isMore && last !== undefined ? { link: formatNextLink(request.url, entries.length, last) } : undefined;
}

async function answerReferrers(catalog: ContentCatalog, route: ReferrersRoute): Promise<Answer> {
  const { repo, digest, artifactType } = route;
  const referrers = await catalog.listReferrers(repo, digest);
  const manifests = artifactType === undefined
    ? referrers
    : referrers.filter((descriptor) => descriptor.artifactType === artifactType);
  return answerJson({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests }, {
    "content-type": MEDIA_TYPE.ociIndex,
    // "Listing Referrers": the registry has to say which filters it applied.
    ...(artifactType === undefined ? undefined : { "oci-filters-applied": "artifactType" }),
  });
}

async function answerHealth(checkHealth: RegistryHandlerOptions["checkHealth"]): Promise<Answer> {
  try {
    await checkHealth?.();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RegistryError("UNAVAILABLE", `Cannot serve: ${reason}`, { cause });
  }
  return answerJson({ status: "ok" });
}

function unknownManifest(repo: string, reference: string): RegistryError {
  return new RegistryError(
    "MANIFEST_UNKNOWN",
    `Cannot find manifest ${reference} of ${repo}: it is not held here, and no upstream that may be asked has it`,
    { detail: { name: repo, reference } },
  );
}

function unknownBlob(repo: string, digest: BlobRoute["digest"]): RegistryError {
  return new RegistryError(
    "BLOB_UNKNOWN",
    `Cannot find blob ${digest} of ${repo}: it is not held here, and no upstream that may be asked has it`,
    { detail: { name: repo, digest } },
  );
}
