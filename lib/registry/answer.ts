import type { ResolvedManifest } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { RegistryError } from "../oci/error.ts";
import { type Descriptor, isManifestType, stripParameters } from "../oci/manifest.ts";

/** An answer before it is known whether its body will be sent: to HEAD it is not. */
export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | ReadableStream<Uint8Array> | string | null;
  /** Size of the body in bytes, as GET would send it. */
  readonly length: number;
}

const encoder = new TextEncoder();

// Bytes are served as they are stored, whatever `Accept-Encoding` asks for: a digest is over them. Up to 2.7, Deno
// compresses what looks like JSON on its own; this directive (RFC 9111, 5.2.2.6) holds it, and any proxy, back.
const NO_TRANSFORM = { "cache-control": "no-transform" } as const;

/** What tells a client which content it got; the digest is the entity tag as well. */
export function contentHeaders(digest: Digest): Record<string, string> {
  return { ...NO_TRANSFORM, "docker-content-digest": digest, etag: `"${digest}"` };
}

/** The content as it is, in its stored type. `body` is `undefined` when only HEAD was asked for. */
export function answerContent(descriptor: ResolvedManifest, body?: Uint8Array): Answer {
  const length = body === undefined ? descriptor.size : body.length;
  return {
    status: 200,
    headers: {
      "content-type": typeOf(descriptor),
      "content-length": String(length),
      "docker-content-digest": descriptor.digest,
      etag: `"${descriptor.digest}"`,
      "cache-control": NO_TRANSFORM["cache-control"],
      // RFC 7234, 5.5.1; nothing newer says it.
      ...(descriptor.isStale ? { warning: '110 crpe "Response is Stale"' } : undefined),
    },
    body: body ?? null,
    length,
  };
}

/** Tells a client that it has the content already. */
export function answerNotModified(digest: Digest): Answer {
  return { status: 304, headers: contentHeaders(digest), body: null, length: 0 };
}

/** A JSON document that is made for this answer. */
export function answerJson(value: unknown, headers?: Record<string, string>, status = 200): Answer {
  const body = encoder.encode(JSON.stringify(value));
  return {
    status,
    headers: { "content-type": "application/json", "content-length": String(body.length), ...NO_TRANSFORM, ...headers },
    body,
    length: body.length,
  };
}

/** What a client is told of a failure. */
export function answerError(error: RegistryError): Answer {
  const headers: Record<string, string> = {};
  if (error.status === 405) headers.allow = "GET, HEAD";
  if (error.status === 416) {
    // RFC 9110, 15.5.17: so that the client learns the size that its range did not fit.
    const size = (error.detail as { size?: unknown } | undefined)?.size;
    headers["accept-ranges"] = "bytes";
    if (typeof size === "number") headers["content-range"] = `bytes */${size}`;
  }
  return answerJson(error, headers, error.status);
}

// A manifest says its own type, so it can be any text; what is no media type must not get into a header.
function typeOf({ mediaType }: Descriptor): string {
  if (isManifestType(mediaType)) return mediaType;
  const type = stripParameters(mediaType) ?? "";
  return /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/.test(type) ? type : "application/octet-stream";
}
