import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../../oci/json.ts";

/** How much of an answer is accepted. */
export const ANSWER_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/** An agent that could not be reached, broke off, or answered what it should not. */
export class AgentError extends Error {
  override readonly name = "AgentError";
  /** The status of its answer; `undefined` where there was none. */
  readonly status: number | undefined;
  /** Whether the same may go well a little later. */
  readonly isTransient: boolean;

  constructor(message: string, options: { status?: number; isTransient: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.status = options.status;
    this.isTransient = options.isTransient;
  }
}

/** The error that an agent's answer tells of: the same, where that can be, as an import here would throw. */
export function errorOfAnswer(status: number, bytes: Uint8Array, location?: string): Error {
  const { code, message = `it answered ${status}`, offset, missing } = readError(bytes);
  switch (code) {
    case "CONFLICT":
      // Of a blob: another has sent some of it meanwhile.
      return offset === undefined ? new RefusedError(message) : new AgentError(message, { status, isTransient: true });
    case "TOO_LARGE":
      return new RefusedError(message);
    case "CORRUPT":
      return new CorruptError(message);
    case "INCOMPLETE":
      return new IncompleteError(message, missing);
    case "NO_SPACE":
      return new NoSpaceError(message);
    case "BLOB_UNKNOWN":
    case "LOCKED":
      return new AgentError(message, { status, isTransient: true });
  }
  if (status === 401) {
    return new AgentError(`${message}; give the file that has it with --token-file`, { status, isTransient: false });
  }
  if (status >= 300 && status < 400) {
    return new AgentError(`it points to ${location ?? "another address"}; give that with --to`, {
      status,
      isTransient: false,
    });
  }
  if (status === 404 || status === 405) return noAgent(`${status}`);
  // What an agent says of itself stays so; what stands between may be better soon.
  const isTransient = code === undefined && status >= 500 || status === 408 || status === 429;
  return new AgentError(message, { status, isTransient });
}

/** The error for an answer that no agent gives. @param what it answered */
export function noAgent(what: string): AgentError {
  return new AgentError(`it answered ${what}; is that the address of a crpe agent?`, { isTransient: false });
}

interface ErrorBody {
  readonly code?: string;
  readonly message?: string;
  readonly offset?: number;
  readonly missing: string[];
}

function readError(bytes: Uint8Array): ErrorBody {
  let document: unknown;
  try {
    document = parseJson(bytes, "the answer", ANSWER_LIMITS);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
  }
  const [first] = isJsonObject(document) && Array.isArray(document.errors) ? document.errors : [];
  const { code, message, detail } = isJsonObject(first) ? first : {};
  const { missing, offset } = isJsonObject(detail) ? detail : {};
  return {
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof message === "string" ? { message } : {}),
    ...(typeof offset === "number" ? { offset } : {}),
    missing: Array.isArray(missing) ? missing.filter((digest) => typeof digest === "string") : [],
  };
}
