import { DigestMismatchError } from "../content/verifier.ts";
import { isNoSpace } from "../files/no_space.ts";
import { StalePartialError } from "../install/write_bundle_blob.ts";
import {
  CorruptError,
  IncompleteError,
  NoSpaceError,
  RefusedError,
  RegistryError,
  TooLargeError,
} from "../oci/error.ts";

/** How the log and the metrics call the end of an import. */
export type ImportOutcome =
  | "imported"
  | "repaired"
  | "part"
  | "same"
  | "refused"
  | "corrupt"
  | "incomplete"
  | "too-large"
  | "no-space"
  | "cut"
  | "failed";

/** The client went away, or sent nothing for too long, before its request had ended. */
export class RequestCutError extends Error {
  override readonly name = "RequestCutError";
}

/** A JSON document. It must not be changed on the way: it may be what a digest was made of. */
export function answerJson(value: unknown, headers: Record<string, string> = {}, status = 200): Response {
  const body = formatJsonBody(value);
  return new Response(body, { status, headers: { ...jsonHeaders(body.length), ...headers } });
}

/** The bytes of a JSON document as it is sent. */
export function formatJsonBody(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}

/** The headers of a JSON document of so many bytes. */
export function jsonHeaders(length: number): Record<string, string> {
  return {
    "content-type": "application/json",
    "content-length": String(length),
    "cache-control": "no-store, no-transform",
  };
}

/** What a client is told of a failure, as the registry tells it: `{"errors":[{code,message}]}`. */
export function answerError(error: RegistryError): Response {
  const { status } = error;
  const headers: Record<string, string> = {};
  const allow = (error.detail as { allow?: unknown } | undefined)?.allow;
  if (typeof allow === "string") headers.allow = allow;
  // RFC 6750, 3.
  if (status === 401) headers["www-authenticate"] = 'Bearer realm="crpe agent"';
  return answerJson(error, headers, status);
}

/**
 * The error that a client is told of.
 *
 * @param describe words an error that nobody foresaw; who may write is told the reason
 */
export function toApiError(cause: unknown, describe: (error: unknown) => string): RegistryError {
  if (cause instanceof TooLargeError) return new RegistryError("TOO_LARGE", cause.message, { cause });
  if (cause instanceof CorruptError || cause instanceof DigestMismatchError) {
    return new RegistryError("CORRUPT", cause.message, { cause });
  }
  if (cause instanceof RegistryError) return cause;
  if (cause instanceof RefusedError) return new RegistryError("CONFLICT", cause.message, { cause });
  if (cause instanceof IncompleteError) {
    return new RegistryError("INCOMPLETE", cause.message, { cause, detail: { missing: cause.missing } });
  }
  if (cause instanceof NoSpaceError || isNoSpace(cause)) {
    return new RegistryError("NO_SPACE", describe(cause), { cause });
  }
  // The same request again begins anew, and may succeed.
  if (cause instanceof StalePartialError) return new RegistryError("UNAVAILABLE", cause.message, { cause });
  if (cause instanceof RequestCutError) return new RegistryError("INVALID", cause.message, { cause });
  return new RegistryError("INTERNAL", describe(cause), { cause });
}

/** How the log and the metrics call a failure. */
export function outcomeOf(error: unknown): ImportOutcome {
  if (error instanceof RequestCutError) return "cut";
  const { code } = toApiError(error, String);
  switch (code) {
    case "CONFLICT":
      return "refused";
    case "CORRUPT":
      return "corrupt";
    case "INCOMPLETE":
      return "incomplete";
    case "TOO_LARGE":
      return "too-large";
    case "NO_SPACE":
      return "no-space";
    default:
      return "failed";
  }
}
