import { escapeControls } from "./escape_controls.ts";

/**
 * The error codes, each with its HTTP status and the exit status of a command, in three groups: the codes of the OCI
 * distribution specification ("Error Codes"); codes outside it that distribution, containerd and docker also understand;
 * the codes of the agent's API. For the exit statuses see "Exit status" in docs/cli.md.
 */
const CODES = {
  BLOB_UNKNOWN: [404, 1],
  DENIED: [403, 1],
  DIGEST_INVALID: [400, 1],
  MANIFEST_INVALID: [400, 1],
  MANIFEST_UNKNOWN: [404, 1],
  NAME_INVALID: [400, 1],
  NAME_UNKNOWN: [404, 1],
  SIZE_INVALID: [400, 1],
  TOOMANYREQUESTS: [429, 1],
  UNAUTHORIZED: [401, 1],
  UNSUPPORTED: [405, 1],

  BAD_GATEWAY: [502, 1],
  BAD_REQUEST: [400, 1],
  INTERNAL: [500, 1],
  NOT_FOUND: [404, 1],
  PAGINATION_NUMBER_INVALID: [400, 1],
  RANGE_INVALID: [416, 1],
  TAG_INVALID: [400, 1],
  UNAVAILABLE: [503, 1],

  CONFLICT: [409, 3],
  CORRUPT: [422, 4],
  INCOMPLETE: [422, 1],
  INVALID: [400, 2],
  LOCKED: [423, 1],
  NO_SPACE: [507, 1],
  TOO_LARGE: [413, 4],
  UNTRUSTED: [403, 3],
} as const satisfies Record<string, readonly [status: number, exit: number]>;

/** An error code that a client may see. */
export type ErrorCode = keyof typeof CODES;

/** What failed, and why: the parts of the sentence `Cannot ACTION: REASON; ADVICE`. */
export interface Failure {
  /** A verb and its object, without a colon before a space: `read line4.tgz`. Absent where a catcher adds it. */
  readonly action?: string | undefined;
  readonly reason?: string | undefined;
  /** What a user can do about it, where an edge may have to say it in other words. */
  readonly advice?: string | undefined;
}

/** Names what failed, and why, for an error: `new CorruptError(cannot("read line4.tgz", "it is empty"))`. */
export function cannot(action: string, reason?: string, advice?: string): Failure {
  return { action, reason, advice };
}

/** A flag that would allow what an error refuses. */
export interface Overrule {
  readonly flag: "force" | "insecure-http";
  /** What the command line says behind the message: `--force allows it`. The web page has a button instead. */
  readonly advice: string;
}

/** The flag `--force`. @param advice `--force allows it` */
export function byForce(advice: string): { overrule: Overrule } {
  return { overrule: { flag: "force", advice } };
}

/** Optional fields of an error. */
interface CrpeErrorOptions extends ErrorOptions {
  /** The flag that would allow what is refused. The message does not name it. */
  readonly overrule?: Overrule | undefined;
  /** The exit status; default: the one that belongs to the code. */
  readonly exit?: number | undefined;
}

/** An error of crpe. Here alone its parts are joined into the sentence that a user reads. */
export class CrpeError extends Error implements Failure {
  readonly code: ErrorCode = "INTERNAL";
  /** Absent where a catcher adds it, and where the reason is a whole sentence. */
  readonly action: string | undefined;
  readonly reason: string;
  readonly advice: string | undefined;
  readonly overrule: Overrule | undefined;
  readonly #exit: number | undefined;

  /** @param failure a text is a reason alone */
  constructor(failure: Failure | string, { overrule, exit, ...options }: CrpeErrorOptions = {}) {
    const { action, reason, advice } = typeof failure === "string" ? { reason: failure } as Failure : failure;
    const sentence = action === undefined
      ? reason ?? ""
      : `Cannot ${action}${reason === undefined ? "" : `: ${reason}`}`;
    super(advice === undefined ? sentence : `${sentence}; ${advice}`, options);
    this.name = new.target.name;
    this.action = reason === undefined ? undefined : action;
    this.reason = reason ?? sentence;
    this.advice = advice;
    this.overrule = overrule;
    this.#exit = exit;
  }

  /** The failure as a part of another sentence, without the advice: `cannot read line4.tgz: it is empty`. */
  get clause(): string {
    return this.action === undefined ? this.reason : `cannot ${this.action}: ${this.reason}`;
  }

  /** The reason with the advice, where another sentence has the action: `it is empty; delete it`. */
  get explanation(): string {
    return this.advice === undefined ? this.reason : `${this.reason}; ${this.advice}`;
  }

  /** The exit status of a command that fails with this error. */
  get exit(): number {
    return this.#exit ?? CODES[this.code][1];
  }
}

/** Optional fields of a `RegistryError`. */
export interface RegistryErrorOptions extends CrpeErrorOptions {
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
export class RegistryError extends CrpeError {
  override readonly code: ErrorCode;
  readonly status: number;
  readonly detail?: unknown;
  readonly retryAfter?: number | undefined;

  constructor(code: ErrorCode, failure: Failure | string, options: RegistryErrorOptions = {}) {
    super(failure, options);
    this.code = code;
    this.status = options.status ?? CODES[code][0];
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

/** The input is corrupt or does not follow its format. */
export class CorruptError extends CrpeError {
  override readonly code: ErrorCode = "CORRUPT";
}

/** Returns what `read` does; `undefined` where it throws a `CorruptError`, for input that may be of another format. */
export function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

/** The input is larger than the limit. */
export class TooLargeError extends CorruptError {
  override readonly code = "TOO_LARGE";
}

/** The input ends too early. The bytes received before the end may still be valid. */
export class TruncatedError extends CorruptError {}

/** A rule forbids the operation, for example a downgrade or a policy. */
export class RefusedError extends CrpeError {
  override readonly code: ErrorCode = "CONFLICT";
}

/** A signature is missing or not one of a trusted key. */
export class UntrustedError extends RefusedError {
  override readonly code = "UNTRUSTED";
}

/** Blobs are missing from both the bundle and the store. */
export class IncompleteError extends CrpeError {
  override readonly code = "INCOMPLETE";
  /** Digests of the missing blobs. */
  readonly missing: readonly string[];

  constructor(failure: Failure | string, missing: readonly string[], options?: CrpeErrorOptions) {
    super(failure, options);
    this.missing = missing;
  }
}

/** The disk has too little free space for the data to be written. */
export class NoSpaceError extends CrpeError {
  override readonly code = "NO_SPACE";
}

/**
 * A value that the user of the program gave, such as a flag, a field of the configuration or a file named by one, is not
 * valid. A client of a server gets `INTERNAL` for it: what a client sends is refused with a `RegistryError`.
 */
export class UsageError extends CrpeError {
  override readonly code = "INVALID";
}
