import { DigestMismatchError } from "../content/verifier.ts";
import { isNoSpace } from "../files/no_space.ts";
import { RecordError } from "../install/records/record_file.ts";
import { byForce, CrpeError, type Failure, IncompleteError, RegistryError, UsageError } from "../oci/error.ts";

/** The outcome of an import, as the log and the metrics name it. */
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

/** The client closed the connection, or made no progress for too long, before its request was complete. */
export class RequestCutError extends RegistryError {
  constructor(failure: Failure, options?: ErrorOptions) {
    super("INVALID", failure, options);
  }
}

/**
 * Creates a response with a JSON document. Proxies must not transform it, because a digest may be made of its bytes.
 */
export function answerJson(value: unknown, headers: Record<string, string> = {}, status = 200): Response {
  const body = formatJsonBody(value);
  return new Response(body, { status, headers: { ...jsonHeaders(body.length), ...headers } });
}

/** Formats a JSON document as the bytes of a response body. */
export function formatJsonBody(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}

/** Returns the headers of a JSON document. @param length the length of the document in bytes */
export function jsonHeaders(length: number): Record<string, string> {
  return {
    "content-type": "application/json",
    "content-length": String(length),
    "cache-control": "no-store, no-transform",
  };
}

/** Creates the response for an error, in the form that the registry uses: `{"errors":[{code,message}]}`. */
export function answerError(error: RegistryError): Response {
  const { status } = error;
  const headers: Record<string, string> = {};
  const { allow, size } = (error.detail ?? {}) as { allow?: unknown; size?: unknown };
  if (typeof allow === "string") headers.allow = allow;
  if (status === 416 && typeof size === "number") headers["content-range"] = `bytes */${size}`;
  // RFC 6750, 3: a response with status 401 names the scheme.
  if (status === 401) headers["www-authenticate"] = 'Bearer realm="crpe agent"';
  return answerJson(error, headers, status);
}

/**
 * Converts any error to the one that the client receives.
 *
 * @param describe formats an unexpected error; the message includes the reason, because the client may write
 */
export function toApiError(cause: unknown, describe: (error: unknown) => string): RegistryError {
  // The content is from the client, not from an upstream.
  if (cause instanceof DigestMismatchError) return new RegistryError("CORRUPT", cause, { cause });
  if (cause instanceof RegistryError) return cause;
  if (isNoSpace(cause)) return new RegistryError("NO_SPACE", describe(cause), { cause });
  // A file of this machine, such as one of trusted keys, has changed since the start: that is no fault of the client.
  if (!(cause instanceof CrpeError) || cause.code === "INTERNAL" || cause instanceof UsageError) {
    return new RegistryError("INTERNAL", describe(cause), { cause });
  }
  const { code, action, reason } = cause;
  if (cause instanceof RecordError && cause.advice !== undefined) {
    return new RegistryError(code, { action, reason }, { cause, detail: byForce(cause.advice) });
  }
  const { overrule } = cause;
  const missing = cause instanceof IncompleteError ? cause.missing : undefined;
  return new RegistryError(code, cause, { cause, detail: (missing ?? overrule) && { missing, overrule } });
}

/** Returns the outcome that the log and the metrics name for an error. */
export function outcomeOf(error: unknown): ImportOutcome {
  if (error instanceof RequestCutError) return "cut";
  const { code } = toApiError(error, String);
  switch (code) {
    case "CONFLICT":
    case "UNTRUSTED":
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
