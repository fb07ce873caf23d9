import {
  CorruptError,
  CrpeError,
  type Failure,
  IncompleteError,
  NoSpaceError,
  type Overrule,
  RefusedError,
  unlessCorrupt,
  UntrustedError,
} from "../../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson, textOf, textsOf } from "../../oci/json.ts";
import type { TransportError, TransportFailure } from "../../upstream/transport/transport_error.ts";

/** The limits of a response body. */
export const ANSWER_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/** The agent could not be reached, closed the connection, or gave an unexpected response. A catcher adds the action. */
export class AgentError extends CrpeError {
  /** The HTTP status of the response; `undefined` if none was received. */
  readonly status: number | undefined;
  /** Whether a retry may succeed. */
  readonly isTransient: boolean;
  /** Why no response was received; `undefined` if one was. */
  readonly failure: TransportFailure | undefined;

  constructor(failure: Failure | string, options: AgentErrorOptions) {
    super(failure, { cause: options.cause });
    this.status = options.status;
    this.isTransient = options.isTransient;
    this.failure = options.failure;
  }
}

interface AgentErrorOptions extends ErrorOptions {
  readonly status?: number;
  readonly isTransient: boolean;
  readonly failure?: TransportFailure;
}

/**
 * Converts the response of an agent to an error; if possible, to the same one that an import on this machine throws.
 */
export function errorOfAnswer(status: number, bytes: Uint8Array, location?: string): Error {
  const { code, message: sentence, offset, missing, overrule } = readError(bytes);
  const answer = `it answered ${status}`;
  const message = sentence ?? answer;
  // The sentence of the agent is not a reason: a catcher adds another action.
  const reason = sentence === undefined ? answer : `${answer}: ${sentence}`;
  switch (code) {
    case "CONFLICT":
      // An offset is only given for a blob: another client has sent some of its bytes meanwhile.
      return offset === undefined
        ? new RefusedError(message, { overrule })
        : new AgentError(reason, { status, isTransient: true });
    case "UNTRUSTED":
      return new UntrustedError(message);
    case "TOO_LARGE":
      return new RefusedError(message);
    case "CORRUPT":
      return new CorruptError(message, { overrule });
    case "INCOMPLETE":
      return new IncompleteError(message, missing, { overrule });
    case "NO_SPACE":
      return new NoSpaceError(message);
    case "BLOB_UNKNOWN":
    case "LOCKED":
      return new AgentError(reason, { status, isTransient: true });
  }
  if (status === 401) {
    return new AgentError({ reason, advice: "name the token's file with --token-file" }, {
      status,
      isTransient: false,
    });
  }
  if (status >= 300 && status < 400) {
    return new AgentError(
      { reason: `it redirects to ${location ?? "another address"}`, advice: "use that with --to" },
      { status, isTransient: false },
    );
  }
  if (status === 404 || status === 405) return notAnAgent(`${status}`);
  // An error with a code is from the agent, and a retry would not change it. One without is from a proxy before the
  // agent.
  const isTransient = code === undefined && status >= 500 || status === 408 || status === 429;
  return new AgentError(reason, { status, isTransient });
}

/** Creates the error for a response that no agent would send. @param what describes the response */
export function notAnAgent(what: string): AgentError {
  return new AgentError({ reason: `it answered ${what}`, advice: "is that the address of a crpe agent?" }, {
    isTransient: false,
  });
}

/** Describes why an agent could not be reached. The CA file of an agent is a flag of the command. */
export function describeFailure({ failure, reason, advice }: TransportError): Failure {
  return { reason, advice: failure === "authority" ? "name its CA file with --ca-file" : advice };
}

function readError(bytes: Uint8Array) {
  const document = unlessCorrupt(() => parseJson(bytes, "the answer", ANSWER_LIMITS));
  const [first] = isJsonObject(document) && Array.isArray(document.errors) ? document.errors : [];
  const { code, message, detail } = isJsonObject(first) ? first : {};
  const { missing, offset, overrule } = isJsonObject(detail) ? detail : {};
  return {
    code: textOf(code),
    message: textOf(message),
    offset: typeof offset === "number" ? offset : undefined,
    missing: textsOf(missing) ?? [],
    overrule: readOverrule(overrule),
  };
}

function readOverrule(value: unknown): Overrule | undefined {
  const { flag, advice } = isJsonObject(value) ? value : {};
  return flag === "force" && typeof advice === "string" ? { flag, advice } : undefined;
}
