import { escapeControls } from "./escape_controls.ts";

/**
 * The error codes that a client may see, in three groups: the codes of the OCI distribution specification ("Error
 * Codes"); codes outside it that distribution, containerd and docker also understand; the codes of the agent's API.
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
  UNTRUSTED: 403,
} as const;

/** An error code that a client may see. */
export type ErrorCode = keyof typeof STATUS_OF_CODE;

/** Optional fields of a `RegistryError`. */
export interface RegistryErrorOptions extends ErrorOptions {
  /** The HTTP status; default: the status that belongs to the code. */
  readonly status?: number;
  /** The `detail` field of the error document. */
  readonly detail?: unknown;
  /** When a client may try again, in seconds; sent as `Retry-After`. */
  readonly retryAfter?: number | undefined;
}

/**
 * A failure that is reported to a client of the registry. Its message is one sentence and holds no secrets; `cause`
 * is never sent to the client.
 */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail?: unknown;
  readonly retryAfter?: number | undefined;

  constructor(code: ErrorCode, message: string, options: RegistryErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status ?? STATUS_OF_CODE[code];
    this.detail = options.detail;
    this.retryAfter = options.retryAfter;
  }

  /**
   * Returns the body of the error response, as defined in the distribution specification, "Error Codes". Control characters
   * in the message are escaped: a client may print it, and names in it may be untrusted.
   */
  toJSON(): { errors: { code: string; message: string; detail?: unknown }[] } {
    const { code, detail } = this;
    const message = this.message.split("\n").map(escapeControls).join("\n");
    return { errors: [detail === undefined ? { code, message } : { code, message, detail }] };
  }
}

/**
 * Returns the reason in the message of an error, which has the form `Cannot ACTION: REASON` (`scripts/lint.ts` holds it). No
 * action has a colon before a space.
 */
export function reasonOf({ message }: Pick<Error, "message">): string {
  return message.replace(/^Cannot .*?: /s, "");
}

/** A flag that would allow what an error refuses. */
export interface Overrule {
  readonly flag: "force" | "insecure-http";
  /** What the command line says behind the message: `--force allows it`. The web page has a button instead. */
  readonly advice: string;
}

/** Optional fields of an error that a flag may overrule. */
export interface OverruledErrorOptions extends ErrorOptions {
  readonly overrule?: Overrule | undefined;
}

/** An error that a flag may overrule. Its message does not name the flag. */
export class OverruledError extends Error {
  readonly overrule: Overrule | undefined;

  constructor(message: string, { overrule, ...options }: OverruledErrorOptions = {}) {
    super(message, options);
    this.overrule = overrule;
  }
}

/** The flag `--force`. @param advice `--force allows it` */
export function byForce(advice: string): { overrule: Overrule } {
  return { overrule: { flag: "force", advice } };
}

/** The input is corrupt or does not follow its format: exit status 4, HTTP 422. */
export class CorruptError extends OverruledError {
  override readonly name: string = "CorruptError";
}

/** The input is larger than the limit: exit status 4, HTTP 413. */
export class TooLargeError extends CorruptError {
  override readonly name = "TooLargeError";
}

/** The input ends too early. The bytes received before the end may still be valid. */
export class TruncatedError extends CorruptError {}

/** A rule forbids the operation, for example a downgrade or a policy: exit status 3, HTTP 409. */
export class RefusedError extends OverruledError {
  override readonly name: string = "RefusedError";
}

/** A signature is missing or not one of a trusted key: exit status 3, HTTP 403. */
export class UntrustedError extends RefusedError {
  override readonly name = "UntrustedError";
}

/** Blobs are missing from both the bundle and the store: exit status 1, HTTP 422. */
export class IncompleteError extends OverruledError {
  override readonly name = "IncompleteError";
  /** Digests of the missing blobs. */
  readonly missing: readonly string[];

  constructor(message: string, missing: readonly string[], options?: OverruledErrorOptions) {
    super(message, options);
    this.missing = missing;
  }
}

/** The disk has too little free space for the data to be written: exit status 1, HTTP 507. */
export class NoSpaceError extends Error {
  override readonly name = "NoSpaceError";
}
