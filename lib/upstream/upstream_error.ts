import { cannot, type ErrorCode, type Failure, RegistryError, type RegistryErrorOptions } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { readBoundedBody } from "./transport/bounded_body.ts";
import { redactText } from "./transport/redact.ts";
import { parseRetryAfter } from "./transport/retry.ts";
import { DeniedError } from "./trust/denied_error.ts";
import { LinkClosedError, TransportError } from "./transport/transport_error.ts";

/** The action that failed, for the error message. */
export interface Attempt {
  /** `read manifest 1.27 of docker.io/library/nginx`. */
  readonly action: string;
  /** The host of the request. */
  readonly host: string;
  /** Whether a credential is configured. */
  readonly hasCredential: boolean;
  /** The reason why a configured credential was not used. */
  readonly withheld?: string | undefined;
  /** Whether the token server has refused the credential. */
  readonly isLoginRefused?: boolean | undefined;
  /** Whether the action is a push to the host. */
  readonly isPush?: boolean | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

// What Go's servers, nginx and Apache answer (400) to http at a port for https.
const IS_HTTPS = /HTTP request to an HTTPS server|plain HTTP (?:request was sent )?to (?:an SSL-enabled|HTTPS)/;
const MAX_ERROR_BYTES = 64 * 1024;
const ERROR_STALL_TIMEOUT = 5000;
// RFC 5842, 7.2. crpe answers so to a request that has passed through it before.
const LOOP_DETECTED = 508;

/** A registry answered with a status that is neither a success nor 404. */
export class ResponseError extends RegistryError {
  /** The status of its response. */
  readonly answered: number;

  constructor(
    code: ErrorCode,
    failure: Failure,
    { answered, ...options }: RegistryErrorOptions & { answered: number },
  ) {
    super(code, failure, options);
    this.answered = answered;
  }
}

/** Converts a `TransportError` into a `RegistryError` `UNAVAILABLE`. Other errors are returned unchanged. */
export function toUpstreamError(error: unknown, attempt: Attempt): unknown {
  if (!(error instanceof TransportError)) return error;
  const retryAfter = error instanceof LinkClosedError ? error.retryAfter : undefined;
  return new RegistryError("UNAVAILABLE", cannot(describe(attempt), error.reason, error.advice), {
    cause: error,
    retryAfter,
  });
}

/** Reports whether an upstream leads back to this registry. */
export function isLoop({ status }: RegistryError): boolean {
  return status === LOOP_DETECTED;
}

/** Creates the error for a response that is neither a success nor 404. The body is read completely or cancelled. */
export async function errorOfResponse(response: Response, attempt: Attempt): Promise<RegistryError> {
  const { status } = response;
  if (status === LOOP_DETECTED) {
    await response.body?.cancel();
    const reason = "the request came back to crpe, so this upstream leads in a circle";
    return new RegistryError("BAD_GATEWAY", cannot(describe(attempt), reason, "remove it"), { status });
  }
  const said = await readReason(response, attempt.now);
  const fail = (reason: string) => cannot(describe(attempt), `${reason}${said === "" ? "" : ` (${said})`}`);
  if (status === 401 || status === 403) {
    // A login that was withheld was refused only where the token server did so.
    const isLoginRefused = attempt.withheld === undefined ? attempt.hasCredential : attempt.isLoginRefused === true;
    return new DeniedError(fail(whyDenied(status, attempt)), { isLoginRefused });
  }
  if (status === 407) return new RegistryError("UNAVAILABLE", fail("the proxy requires a login, or refuses it"));
  const wait = parseRetryAfter(response.headers, () => Date.parse(response.headers.get("date") ?? ""));
  const retryAfter = wait === undefined || Number.isNaN(wait) ? undefined : Math.ceil(wait / 1000);
  if (status === 429) {
    const advice = retryAfter === undefined ? undefined : `try again in ${retryAfter} s`;
    const failure = { ...fail("the registry limits how often it can be used"), advice };
    return new RegistryError("TOOMANYREQUESTS", failure, { retryAfter });
  }
  if (status >= 500 || status === 408) {
    return new ResponseError("UNAVAILABLE", fail(`the registry answers ${status}`), { answered: status, retryAfter });
  }
  return new ResponseError("BAD_GATEWAY", fail(`the registry answers ${status}`), { answered: status });
}

function describe({ action, host, isPush }: Attempt): string {
  const where = !isPush ? "from" : action.startsWith("push ") ? "to" : "at";
  return `${action} ${where} ${host}`;
}

function whyDenied(status: number, { hasCredential, withheld, isPush }: Attempt): string {
  if (withheld !== undefined) return `the registry denies access, and ${withheld}`;
  if (isPush && !hasCredential) return "the registry denies the push: it needs a login, such as one of docker login";
  if (isPush && status === 403) return "the registry denies the push: this login may not push to the repository";
  if (!hasCredential) return "the registry denies access: the image does not exist, or needs a login";
  return status === 401
    ? "the registry refuses the login: the user name or the password (or token) is wrong"
    : "the registry denies access: the image does not exist, or this login may not pull it";
}

async function readReason(response: Response, now: () => number): Promise<string> {
  if (response.body === null) return "";
  try {
    const bytes = await readBoundedBody(response, {
      maxBytes: MAX_ERROR_BYTES,
      what: "the error",
      stallTimeout: ERROR_STALL_TIMEOUT,
      now,
    });
    if (IS_HTTPS.test(new TextDecoder().decode(bytes))) return "it speaks https; write https:// in its URL";
    const json = parseJson(bytes, "the error", { maxBytes: MAX_ERROR_BYTES, maxDepth: 32 });
    const first = isJsonObject(json) && Array.isArray(json.errors) ? json.errors[0] : undefined;
    if (!isJsonObject(first)) return "";
    const text = typeof first.message === "string" && first.message !== "" ? first.message : first.code;
    return typeof text === "string" ? redactText(text).slice(0, 200) : "";
  } catch {
    // The status is sufficient. A body that cannot be read, is too large or is not JSON adds no information.
    return "";
  }
}
