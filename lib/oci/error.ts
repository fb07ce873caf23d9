/**
 * Error codes a client may see. Those of the OCI distribution specification ("Error Codes"), below the blank line those
 * that it leaves open and distribution, containerd and docker know too, and last those of the agent's own API.
 */
const STATUS_OF_CODE = {
  BLOB_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405,

  BAD_GATEWAY: 502,
  BAD_REQUEST: 400,
  INTERNAL: 500,
  NOT_FOUND: 404,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  TAG_INVALID: 400,
  UNAVAILABLE: 503,

  CONFLICT: 409,
  CORRUPT: 422,
  INCOMPLETE: 422,
  INVALID: 400,
  LOCKED: 423,
  NO_SPACE: 507,
  TOO_LARGE: 413,
} as const;

/** One of the codes of `STATUS_OF_CODE`. */
export type ErrorCode = keyof typeof STATUS_OF_CODE;

/** What a `RegistryError` may carry besides its code and message. */
export interface RegistryErrorOptions extends ErrorOptions {
  /** The HTTP status, where it is not the code's own. */
  readonly status?: number;
  /** What goes into the error's `detail` field. */
  readonly detail?: unknown;
}

/**
 * A failure that a client of the registry may be told about. Its message is one sentence, without secrets; `cause`
 * never leaves the process.
 */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail?: unknown;

  constructor(code: ErrorCode, message: string, options: RegistryErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status ?? STATUS_OF_CODE[code];
    this.detail = options.detail;
  }

  /** The body of the answer, as the distribution specification's "Error Codes" has it. */
  toJSON(): { errors: { code: string; message: string; detail?: unknown }[] } {
    const { code, message, detail } = this;
    return { errors: [detail === undefined ? { code, message } : { code, message, detail }] };
  }
}

/** Input that is corrupt or does not follow its format: exit status 4, HTTP 422. */
export class CorruptError extends Error {
  override readonly name: string = "CorruptError";
}

/** Input that is larger than what is accepted: exit status 4, HTTP 413. */
export class TooLargeError extends CorruptError {
  override readonly name = "TooLargeError";
}

/** Input that ends too early: what came before that need not be wrong. */
export class TruncatedError extends CorruptError {}

/** Something a rule forbids (a downgrade, a policy): exit status 3, HTTP 409. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** A bundle that lacks blobs which the store does not hold either: exit status 1, HTTP 422. */
export class IncompleteError extends Error {
  override readonly name = "IncompleteError";
  readonly missing: readonly string[];

  constructor(message: string, missing: readonly string[], options?: ErrorOptions) {
    super(message, options);
    this.missing = missing;
  }
}

/** No room for what has to be written: exit status 1, HTTP 507. */
export class NoSpaceError extends Error {
  override readonly name = "NoSpaceError";
}
