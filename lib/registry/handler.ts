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

/** Describes a response, for metrics and the log. */
export interface ResponseInfo {
  readonly method: string;
  /** The kind of the route; `undefined` when the registry does not support the method or the path. */
  readonly kind: Route["kind"] | undefined;
  /** The repository name that the store uses. */
  readonly repo: string | undefined;
  readonly status: number;
  /** Number of body bytes that were passed to the server, which is a few chunks ahead of the client. */
  readonly bytes: number;
  /** Whether the body failed, or the client disconnected, before the whole body was passed to the server. */
  readonly isAborted: boolean;
}

/** Options of a registry handler. */
export interface RegistryHandlerOptions<Context = unknown> {
  /** Called for each internal error, whose reason is hidden from the client. */
  readonly onError?: (error: unknown, request: Request) => void;
  /** Called for each request that fails because of an upstream. The client receives the reason. */
  readonly onUpstreamError?: (error: RegistryError, request: Request) => void;
  /** Called for each response when its body was passed to the server, with the context of the request. */
  readonly onResponse?: (info: ResponseInfo, context: Context | undefined) => void;
  /** Reports what a response is waiting for: the client, which has not read what was sent, or its own body. */
  readonly onBackpressure?: (waitsForClient: boolean, context: Context | undefined) => void;
  /** Throws when the registry cannot serve; `/healthz` then responds with 503. */
  readonly checkHealth?: () => Promise<void>;
}

const UPSTREAM_CODES: readonly ErrorCode[] = ["BAD_GATEWAY", "DENIED", "TOOMANYREQUESTS", "UNAVAILABLE"];
const PING_HEADERS = { "docker-distribution-api-version": "registry/2.0" };

/**
 * Creates the handler of a pull-only registry (OCI distribution specification) that serves the content of `catalog`.
 *
 * The handler never throws. When a body fails while it is sent (the source fails, or the bytes do not have the digest),
 * the server aborts the connection. Newer releases of Deno then call the `onError` of `Deno.serve`, and print a stack
 * trace if it is missing; the `onError` of `options` is not called.
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
        throw new RegistryError("UNSUPPORTED", `Cannot ${method}: this registry is pull-only`);
      }
      route = matchRoute(request.url);
      answer = await answerRoute(route, request, { catalog, checkHealth });
    } catch (error) {
      if (error instanceof RegistryError && UPSTREAM_CODES.includes(error.code)) onUpstreamError?.(error, request);
      answer = answerError(error instanceof RegistryError ? error : hideError(error, request, onError));
    }
    // Distribution specification, "Pulling manifests": the header confirms that `ns` was applied.
    if (route !== undefined && "ns" in route && route.ns !== undefined) answer.headers["oci-namespace"] = route.ns;
    const body = method === "HEAD" ? null : answer.body;
    const length = body === null ? 0 : answer.length;
    const onEnd = (bytes: number) =>
      onResponse?.({
        method,
        kind: route?.kind,
        repo: route !== undefined && "repo" in route ? route.repo : undefined,
        status: answer.status,
        bytes,
        isAborted: bytes < length,
      }, context);
    if (onResponse !== undefined && body instanceof ReadableStream) {
      const counted = countBody(body, length, {
        onEnd,
        onBackpressure: (waitsForClient) => onBackpressure?.(waitsForClient, context),
      });
      return new Response(counted as BodyInit, answer);
    }
    onEnd(length);
    return new Response(body as BodyInit | null, answer);
  };
}

function hideError(error: unknown, request: Request, onError: RegistryHandlerOptions["onError"]): RegistryError {
  onError?.(error, request);
  return new RegistryError("INTERNAL", "Cannot answer: internal error; see the log of the registry");
}

function answerRoute(
  route: Route | undefined,
  request: Request,
  { catalog, checkHealth }: { catalog: ContentCatalog; checkHealth: RegistryHandlerOptions["checkHealth"] },
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
      throw new RegistryError("NOT_FOUND", "Cannot find the path: it is not part of the registry API");
  }
}

async function answerManifest(catalog: ContentCatalog, route: ManifestRoute, request: Request): Promise<Answer> {
  const { repo, reference } = route;
  const descriptor = await catalog.resolve(repo, reference);
  if (descriptor === undefined) throw unknownManifest(repo, reference);
  if (matchesEtag(request.headers.get("if-none-match"), descriptor.digest)) return answerNotModified(descriptor.digest);
  if (request.method === "HEAD") return answerContent(descriptor);
  // The manifest is read by its digest, because the tag may have moved in the meantime.
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

// The blob is not opened when no bytes are sent. A range has no meaning with HEAD (RFC 9110, 14.2).
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
  const { n, last } = parsePage(route);
  const page = await catalog.listTags(route.repo, { after: last, limit: n });
  if (page === undefined) {
    throw new RegistryError("NAME_UNKNOWN", `Cannot list tags: there is no repository ${route.repo}`, {
      detail: { name: route.repo },
    });
  }
  const { tags, isMore, isPartial } = page;
  return answerJson({ name: route.name, tags }, {
    // There is no next page after `n=0`, because it would be the same page again.
    ...linkHeader(request, tags, isMore && n !== 0),
    ...(isPartial ? { warning: '199 crpe "Tags may be missing"' } : undefined),
  });
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
    // Distribution specification, "Listing Referrers": the registry must list the filters that it applied.
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
    `Cannot find manifest ${reference} of ${repo}: it is not in the store, and no upstream that may be used has it`,
    { detail: { name: repo, reference } },
  );
}

function unknownBlob(repo: string, digest: BlobRoute["digest"]): RegistryError {
  return new RegistryError(
    "BLOB_UNKNOWN",
    `Cannot find blob ${digest} of ${repo}: it is not in the store, and no upstream that may be used has it`,
    { detail: { name: repo, digest } },
  );
}
