import { Buffer } from "node:buffer";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { toTransportError } from "../../upstream/transport/transport_error.ts";
import { NDJSON } from "../protocol.ts";
import type { AgentAnswer, AgentRequest } from "./request_agent.ts";
import { AgentError, ANSWER_LIMITS, describeFailure } from "./agent_error.ts";

// Node's error codes → the messages of Deno's own errors, which toTransportError() understands.
const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EPIPE: "broken pipe",
  ENOTFOUND: "dns error",
  EAI_AGAIN: "dns error",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  EADDRNOTAVAIL: "cannot assign requested address",
  ETIMEDOUT: "timed out",
  // Codes of OpenSSL.
  CERT_HAS_EXPIRED: "certificate expired",
  CERT_NOT_YET_VALID: "certificate not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate not valid for name",
  SELF_SIGNED_CERT_IN_CHAIN: "self-signed",
  UNABLE_TO_GET_ISSUER_CERT: "unknown issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown issuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown issuer",
};

const LINE_FEED = 10;

/**
 * Creates the function that sends requests to an agent. It does not use `fetch`, which cannot declare the length of a
 * streamed body and sends it chunked; Deno's own server (2.9) reads chunked bodies a hundred times slower.
 *
 * @param ca certificate authorities for https as PEM, in addition to those of the runtime
 * @param options.isStoppable whether requests are aborted by a user. Deno 2.9 sends a request again that is aborted on a
 *   connection which an earlier one has used, so that each gets a connection of its own
 */
export function createSender(
  ca?: string,
  { isStoppable = false } = {},
): (request: AgentRequest) => Promise<AgentAnswer> {
  ignoreDestroyedBodies();
  return async ({ method, url, headers, body, signal, onAnswer }) => {
    const send = url.startsWith("https:") ? requestHttps : requestHttp;
    const length = body === undefined ? {} : { "content-length": `${body.length}` };
    let request: ClientRequest;
    try {
      request = send(url, {
        method,
        headers: { ...headers, ...length },
        signal,
        // Without it, Deno 2.9 asks for the permission to read the certificates of the system.
        ca: ca || [],
        agent: isStoppable ? false : undefined,
      });
    } catch (error) {
      throw toAgentError(error, url);
    }
    // Some releases of the runtime do not report a connection that fails while a request is written, and ignore the
    // signal then.
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop);
    const answer = Promise.race([readAnswer(request, onAnswer), stopped.promise]);
    // The answer is awaited below, but may fail before that; this is not an unhandled rejection.
    answer.catch(() => {});
    try {
      if (body === undefined) request.end();
      else await Promise.race([writeBody(request, body.stream), answer]);
      return await answer;
    } catch (error) {
      throw toAgentError(error, url);
    } finally {
      signal.removeEventListener("abort", stop);
      // If the agent has answered before the end of the body, it does not read the rest.
      if (!request.writableFinished) request.destroy();
    }
  };
}

let isIgnoring = false;

// When a request is destroyed, or its connection is cut, while its body is written, `node:http` of Deno 2.6 rejects a
// promise that only the runtime has, with one of two reasons. It must not end the process: `readAnswer` reports the
// failure.
function ignoreDestroyedBodies(): void {
  if (isIgnoring) return;
  isIgnoring = true;
  globalThis.addEventListener("unhandledrejection", (event) => {
    const { reason } = event;
    const isDestroyed = reason instanceof TypeError && reason.message.includes("request body stream errored");
    if (isDestroyed || reason === "resource closed") event.preventDefault();
  });
}

async function writeBody(request: ClientRequest, body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (request.destroyed) return;
      if (!request.write(next.value)) await waitForRoom(request);
    }
    request.end();
  } catch (error) {
    request.destroy();
    throw error;
  }
}

function waitForRoom(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ["drain", "close", "error"]) request.off(event, done);
      resolve();
    };
    for (const event of ["drain", "close", "error"]) request.on(event, done);
  });
}

function readAnswer(request: ClientRequest, onAnswer?: () => void): Promise<AgentAnswer> {
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("close", () => reject(new Error("connection closed")));
    request.on("response", (response: IncomingMessage) => {
      let pieces: Uint8Array[] = [];
      let length = 0;
      const isLines = response.headers["content-type"] === NDJSON;
      response.on("error", reject);
      response.on("aborted", () => reject(new Error("connection closed")));
      response.on("data", (received: Uint8Array) => {
        onAnswer?.();
        // Only the last line stays. Its own line feed is its end.
        const start = isLines ? received.subarray(0, -1).lastIndexOf(LINE_FEED) + 1 : 0;
        const isNewLine = start > 0 || isLines && pieces.at(-1)?.at(-1) === LINE_FEED;
        const piece = received.subarray(start);
        if (isNewLine) [pieces, length] = [[], 0];
        pieces.push(piece);
        length += piece.length;
        if (length > ANSWER_LIMITS.maxBytes) request.destroy();
      });
      response.on("end", () => {
        const { statusCode: status = 0, headers: { location } } = response;
        resolve({ status, location, bytes: Buffer.concat(pieces) });
      });
    });
  });
}

function toAgentError(cause: unknown, url: string): unknown {
  if (!(cause instanceof Error) || cause.name === "AbortError") return cause;
  const { code } = cause as { code?: string };
  const words = code === undefined ? undefined : WORDS[code];
  // If the local disk or the bundle fails, AgentClient throws that failure (`RequestTimeout.failure`) instead of this
  // error.
  const error = toTransportError(words === undefined ? cause : new Error(words, { cause }));
  const { failure } = error;
  const { reason, advice } = describeFailure(error);
  // Deno up to 2.7 reports all TLS failures with the same message.
  const hint = failure === "other" && url.startsWith("https:")
    ? "if its certificate is from a private authority, name its CA file with --ca-file"
    : advice;
  return new AgentError({ reason, advice: hint }, { isTransient: !error.isPermanent, failure, cause });
}
