import type { CacheOutcome, ResolvedManifest } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { RegistryError } from "../oci/error.ts";
import { isManifestType, stripParameters } from "../oci/manifest.ts";

/** A response before it is decided whether its body is sent; in response to HEAD it is not. */
export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | ReadableStream<Uint8Array> | string | null;
  /** Size of the body in bytes, as it is sent in response to GET. */
  readonly length: number;
  /** Where the content came from; absent without content. */
  readonly outcome?: CacheOutcome;
}

const encoder = new TextEncoder();

// Bytes are served as they are stored, whatever `Accept-Encoding` requests, because the digest covers these bytes. Up
// to 2.7, Deno compresses JSON by itself; this directive (RFC 9111, 5.2.2.6) prevents that, also in proxies.
const NO_TRANSFORM = { "cache-control": "no-transform" } as const;

/** Returns the headers that identify the content. The digest is also the entity tag. */
export function contentHeaders(digest: Digest): Record<string, string> {
  return { ...NO_TRANSFORM, "docker-content-digest": digest, etag: `"${digest}"` };
}

/** Creates the response with a manifest, unconverted and with its stored type. `body` is `undefined` for HEAD. */
export function answerContent(descriptor: ResolvedManifest, body?: Uint8Array): Answer {
  const length = body === undefined ? descriptor.size : body.length;
  return {
    status: 200,
    headers: {
      "content-type": formatType(descriptor.mediaType),
      "content-length": String(length),
      ...contentHeaders(descriptor.digest),
      ...warningHeader(descriptor),
    },
    body: body ?? null,
    length,
    outcome: descriptor.isStale ? "stale" : descriptor.isFetched ? "miss" : "hit",
  };
}

// RFC 7234, 5.5. RFC 9111 made the header obsolete without a replacement.
function warningHeader({ isStale, isIncomplete }: ResolvedManifest): { warning?: string } {
  const warnings = [
    ...(isStale ? ['110 crpe "Response is Stale"'] : []),
    ...(isIncomplete ? ['199 crpe "Content of this image is missing"'] : []),
  ];
  return warnings.length === 0 ? {} : { warning: warnings.join(", ") };
}

/** Creates a 304 response: the client already has the content. */
export function answerNotModified(digest: Digest): Answer {
  return { status: 304, headers: contentHeaders(digest), body: null, length: 0 };
}

/** Creates a response with a JSON document. */
export function answerJson(
  value: unknown,
  headers?: Record<string, string>,
  status = 200,
): Answer & { readonly body: Uint8Array } {
  const body = encoder.encode(JSON.stringify(value));
  return {
    status,
    headers: { "content-type": "application/json", "content-length": String(body.length), ...NO_TRANSFORM, ...headers },
    body,
    length: body.length,
  };
}

/** Creates a response with a text for people. */
export function answerText(text: string): Answer {
  const body = encoder.encode(text);
  const headers = {
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(body.length),
    // A server may have a page for browsers at the same path.
    vary: "accept",
    ...NO_TRANSFORM,
  };
  return { status: 200, headers, body, length: body.length };
}

// The `Retry-After` of errors that state no time, in seconds.
const DEFAULT_RETRY_AFTER = 5;

/** Creates the response that reports a failure. */
export function answerError(error: RegistryError): Answer {
  const headers: Record<string, string> = {};
  if (error.status === 429 || error.status === 503) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(error.retryAfter ?? DEFAULT_RETRY_AFTER)));
  }
  if (error.status === 405) headers.allow = "GET, HEAD";
  if (error.status === 416) {
    // RFC 9110, 15.5.17: the header gives the client the size of the content.
    const size = (error.detail as { size?: unknown } | undefined)?.size;
    headers["accept-ranges"] = "bytes";
    if (typeof size === "number") headers["content-range"] = `bytes */${size}`;
  }
  return answerJson(error, headers, error.status);
}

/** Responds to a request with a failure. */
export function respondError(error: RegistryError, method: string, headers?: Record<string, string>): Response {
  const answer = answerError(error);
  return new Response(method === "HEAD" ? null : answer.body as BodyInit, {
    status: answer.status,
    headers: { ...answer.headers, ...headers },
  });
}

/**
 * Returns the media type of a manifest for the Content-Type. A manifest states it itself, and it can be any text. A text
 * that is not a media type must not be sent in a header.
 */
export function formatType(mediaType: string): string {
  if (isManifestType(mediaType)) return mediaType;
  const type = stripParameters(mediaType) ?? "";
  return /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/.test(type) ? type : "application/octet-stream";
}
