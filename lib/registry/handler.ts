import type { CacheOutcome, ContentCatalog } from "../content/source.ts";
import { allowsRange, matchesEtag } from "../http/conditional.ts";
import { parseRange } from "../http/range.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, type ErrorCode, RegistryError } from "../oci/error.ts";
import {
  type Answer,
  answerContent,
  answerError,
  answerJson,
  answerNotModified,
  answerText,
  contentHeaders,
  formatType,
} from "./answer.ts";
import { streamLargeBody } from "./large_body.ts";
import { ListAnswers } from "./list_answers.ts";
import { type BlobRoute, type ManifestRoute, matchRoute, type Route } from "./route.ts";
import { unknownBlob, unknownManifest } from "./unknown_content.ts";

/** Describes a response whose body was not sent yet, for metrics and the log. */
export interface AnswerInfo {
  readonly method: string;
  /** The kind of the route; `undefined` when the registry does not support the method or the path. */
  readonly kind: Route["kind"] | undefined;
  /** The repository name that the store uses. */
  readonly repo: string | undefined;
  readonly status: number;
  /** The size of a body that is in memory, in bytes; `undefined` for a stream. */
  readonly length: number | undefined;
  /** Where the content came from; absent without content. */
  readonly outcome?: CacheOutcome | undefined;
  /** The digest of a manifest that the client has, or was sent. */
  readonly digest?: Digest | undefined;
}

/** Options of a registry handler. */
export interface RegistryHandlerOptions<Context = unknown> {
  /** Called for each internal error, whose reason is hidden from the client. */
  readonly onError?: (error: unknown, request: Request) => void;
  /** Called for each request that fails because of an upstream. The client receives the reason. */
  readonly onUpstreamError?: (error: RegistryError, request: Request) => void;
  /** Called for each response before it is returned, with the context of the request. */
  readonly onAnswer?: (info: AnswerInfo, context: Context | undefined) => void;
  /**
   * What is served to a client that wants only what is held (`Cache-Control: only-if-cached`, RFC 9111, 5.2.1.7), such as
   * another crpe; default: `catalog`.
   */
  readonly held?: ContentCatalog;
  /** Returns the URL at which clients read a blob that a repository has; `undefined` if it is sent to them instead. */
  readonly locateBlob?: (repo: string, digest: Digest) => Promise<string | undefined>;
  /**
   * Returns why the registry cannot do all of its work; `undefined` when it can. Throws when it cannot serve at all:
   * `/healthz` then responds with 503.
   */
  readonly checkHealth?: () => Promise<string | undefined>;
  /** Throws when a list may lack content, because the place that it was read from is not there any more. */
  readonly checkPlace?: () => void;
  /** The text at `/`, which says what this server is; without it there is nothing at `/`. */
  readonly greeting?: string;
}

const UPSTREAM_CODES: readonly ErrorCode[] = ["BAD_GATEWAY", "DENIED", "TOOMANYREQUESTS", "UNAVAILABLE"];
const ONLY_IF_CACHED = /(?:^|,)\s*only-if-cached\s*(?:,|$)/i;
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
  const { onError, onUpstreamError, onAnswer } = options;
  const served = { catalog, lists: new ListAnswers(catalog) };
  const held = options.held === undefined ? served : { catalog: options.held, lists: new ListAnswers(options.held) };
  return async (request, context) => {
    const { method } = request;
    let route: Route | undefined;
    let answer: Answer;
    try {
      if (method !== "GET" && method !== "HEAD") {
        throw new RegistryError("UNSUPPORTED", cannot(method, "this registry is pull-only"));
      }
      route = matchRoute(request.url);
      const isHeldOnly = ONLY_IF_CACHED.test(request.headers.get("cache-control") ?? "");
      answer = await answerRoute(route, request, { ...options, ...(isHeldOnly ? held : served) });
      if (method === "GET") answer = await streamLargeBody(answer);
    } catch (error) {
      if (error instanceof RegistryError && UPSTREAM_CODES.includes(error.code)) onUpstreamError?.(error, request);
      answer = answerError(error instanceof RegistryError ? error : hideError(error, request, onError));
    }
    // Distribution specification, "Pulling manifests": the header confirms that `ns` was applied.
    if (route !== undefined && "ns" in route && route.ns !== undefined) answer.headers["oci-namespace"] = route.ns;
    const body = method === "HEAD" ? null : answer.body;
    onAnswer?.({
      method,
      kind: route?.kind,
      repo: route !== undefined && "repo" in route ? route.repo : undefined,
      status: answer.status,
      length: body === null ? 0 : body instanceof ReadableStream ? undefined : answer.length,
      outcome: answer.outcome,
      digest: route?.kind === "manifest" && answer.status < 400 ? digestOf(answer) : undefined,
    }, context);
    return new Response(body as BodyInit | null, answer);
  };
}

function digestOf({ headers }: Answer): Digest | undefined {
  const digest = headers["docker-content-digest"];
  return digest !== undefined && isDigest(digest) ? digest : undefined;
}

function hideError(error: unknown, request: Request, onError: RegistryHandlerOptions["onError"]): RegistryError {
  onError?.(error, request);
  return new RegistryError("INTERNAL", cannot("answer", "internal error", "see the log of the registry"));
}

type AnswerOptions = Pick<RegistryHandlerOptions, "checkHealth" | "checkPlace" | "greeting" | "locateBlob"> & {
  readonly catalog: ContentCatalog;
  readonly lists: ListAnswers;
};

function answerRoute(
  route: Route | undefined,
  request: Request,
  { catalog, lists, checkHealth, checkPlace, greeting, locateBlob }: AnswerOptions,
): Promise<Answer> | Answer {
  switch (route?.kind) {
    case "manifest":
      return answerManifest(catalog, route, request);
    case "blob":
      return request.method === "HEAD" || request.headers.has("if-none-match")
        ? answerBlobKnown(catalog, route, request)
        : answerBlob(catalog, route, { request, locateBlob });
    case "tags":
    case "catalog":
    case "referrers":
      return lists.answer(route, request).finally(checkPlace);
    case "ping":
      return answerJson({}, PING_HEADERS);
    case "health":
      return answerHealth(checkHealth);
    case "root":
      if (greeting !== undefined) return answerText(greeting);
  }
  throw new RegistryError("NOT_FOUND", cannot("find the path", "it is not part of the registry API"));
}

async function answerManifest(catalog: ContentCatalog, route: ManifestRoute, request: Request): Promise<Answer> {
  const { repo, reference } = route;
  const descriptor = await catalog.resolve(repo, reference);
  if (descriptor === undefined) throw await unknownManifest(catalog, reference, { repo, request });
  if (matchesEtag(request.headers.get("if-none-match"), descriptor.digest)) return answerNotModified(descriptor.digest);
  if (request.method === "HEAD") return answerContent(descriptor);
  // The manifest is read by its digest, because the tag may have moved in the meantime.
  const bytes = await catalog.readManifest(repo, descriptor.digest);
  if (bytes === undefined) throw await unknownManifest(catalog, reference, { repo, request });
  return answerContent(descriptor, bytes);
}

async function answerBlob(
  catalog: ContentCatalog,
  route: BlobRoute,
  { request, locateBlob }: Pick<RegistryHandlerOptions, "locateBlob"> & { readonly request: Request },
): Promise<Answer> {
  const { repo, digest } = route;
  const location = await locateBlob?.(repo, digest);
  // The client sends its range there. The URL works for a time, and for any client, so that it must not be cached.
  if (location !== undefined) {
    return { status: 307, headers: { location, "cache-control": "no-store" }, body: null, length: 0, outcome: "hit" };
  }
  const { headers } = request;
  const range = allowsRange(headers.get("if-range"), digest) ? parseRange(headers.get("range")) : undefined;
  const opened = await catalog.openBlob(repo, digest, range);
  if (opened === undefined) return await answerManifestAsBlob(catalog, route, request);
  const { size, start, length, body, outcome = "hit" } = opened;
  let responseHeaders: Record<string, string>;
  try {
    responseHeaders = await blobHeaders(catalog, route, length);
  } catch (error) {
    // The response is an error, and nothing else will read the body, nor close its file or its download.
    await body.cancel(error).catch(() => {});
    throw error;
  }
  const answer = { status: 200, headers: responseHeaders, body, length, outcome };
  if (range === undefined) return answer;
  answer.headers["content-range"] = `bytes ${start}-${start + length - 1}/${size}`;
  return { ...answer, status: 206 };
}

// The blob is not opened when no bytes are sent. A range has no meaning with HEAD (RFC 9110, 14.2).
async function answerBlobKnown(catalog: ContentCatalog, route: BlobRoute, request: Request): Promise<Answer> {
  const { repo, digest } = route;
  const size = await catalog.statBlob(repo, digest);
  if (size === undefined) return await answerManifestAsBlob(catalog, route, request);
  if (matchesEtag(request.headers.get("if-none-match"), digest)) return answerNotModified(digest);
  if (request.method === "GET") return answerBlob(catalog, route, { request });
  return { status: 200, headers: await blobHeaders(catalog, route, size), body: null, length: size };
}

/**
 * Responds to a request for a blob that is missing. Many registries have no manifests among their blobs, but crpe does
 * for those in its store: so that the response does not depend on what is stored, it has them all.
 */
async function answerManifestAsBlob(catalog: ContentCatalog, route: BlobRoute, request: Request): Promise<Answer> {
  const { repo, digest } = route;
  try {
    const answer = await answerManifest(catalog, { ...route, kind: "manifest", reference: digest }, request);
    return { ...answer, headers: { ...answer.headers, "accept-ranges": "bytes" } };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw await unknownBlob(catalog, digest, { repo, request });
  }
}

async function blobHeaders(
  catalog: ContentCatalog,
  { repo, digest }: BlobRoute,
  length: number,
): Promise<Record<string, string>> {
  const type = await catalog.typeOfManifest?.(repo, digest);
  return {
    ...contentHeaders(digest),
    "content-type": type === undefined ? "application/octet-stream" : formatType(type),
    "content-length": String(length),
    "accept-ranges": "bytes",
  };
}

async function answerHealth(checkHealth: RegistryHandlerOptions["checkHealth"]): Promise<Answer> {
  let degradation: string | undefined;
  try {
    degradation = await checkHealth?.();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RegistryError("UNAVAILABLE", cannot("serve", reason), { cause });
  }
  return answerJson(degradation === undefined ? { status: "ok" } : { status: "degraded", reason: degradation });
}
