import { Buffer } from "node:buffer";
import { type ClientRequest, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { toTransportError, type TransportFailure } from "../../upstream/transport/transport_error.ts";
import type { AgentAnswer, AgentRequest } from "./agent_client.ts";
import { AgentError, ANSWER_LIMITS } from "./agent_error.ts";

// What node's errors have no words for, in the words of the runtime's own.
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
  // As OpenSSL has them.
  CERT_HAS_EXPIRED: "certificate expired",
  CERT_NOT_YET_VALID: "certificate not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate not valid for name",
  SELF_SIGNED_CERT_IN_CHAIN: "self-signed",
  UNABLE_TO_GET_ISSUER_CERT: "unknown issuer",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown issuer",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown issuer",
};

// These will be the same when they are tried again.
const LASTING: readonly TransportFailure[] = ["blocked", "certificate", "clock", "not-http"];

/**
 * What sends requests to an agent. Not by `fetch`: that cannot say how long a body is which comes as a stream, and sends
 * it in chunks then, which Deno's own server (2.9) reads a hundred times slower than the rest.
 *
 * @param ca authorities of an https agent's certificate besides the usual ones, as PEM
 */
export function createSender(ca?: string): (request: AgentRequest) => Promise<AgentAnswer> {
  return async ({ method, url, headers, body, signal }) => {
    const send = url.startsWith("https:") ? requestHttps : requestHttp;
    const length = body === undefined ? {} : { "content-length": `${body.length}` };
    const request = send(url, {
      method,
      headers: { ...headers, ...length },
      signal,
      ...(ca === undefined ? {} : { ca }),
    });
    // Not all releases of the runtime tell of a connection that breaks while a request is written, nor obey the signal then.
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop);
    const answer = Promise.race([readAnswer(request), stopped.promise]);
    // Awaited below, when it may have failed already.
    answer.catch(() => {});
    try {
      if (body === undefined) request.end();
      else await Promise.race([writeBody(request, body.stream), answer]);
      return await answer;
    } catch (error) {
      throw toAgentError(error, url);
    } finally {
      signal.removeEventListener("abort", stop);
      // Whoever has answered already wants no more.
      if (!request.writableFinished) request.destroy();
    }
  };
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

function readAnswer(request: ClientRequest): Promise<AgentAnswer> {
  return new Promise((resolve, reject) => {
    request.on("error", reject);
    request.on("close", () => reject(new Error("connection closed")));
    request.on("response", (response: IncomingMessage) => {
      const pieces: Uint8Array[] = [];
      let length = 0;
      response.on("error", reject);
      response.on("aborted", () => reject(new Error("connection closed")));
      response.on("data", (piece: Uint8Array) => {
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
  // What this side's own disk or bundle fails with is no matter of the connection.
  const { message, failure } = toTransportError(words === undefined ? cause : new Error(words, { cause }));
  // The runtime up to 2.7 has one word for all that can be wrong with TLS.
  const hint = failure === "other" && url.startsWith("https:")
    ? "; if its certificate is of an authority of your own, name its CA file with --ca-file"
    : "";
  return new AgentError(
    `${message.replace("name its CA file in the configuration", "name its CA file with --ca-file")}${hint}`,
    {
      isTransient: !LASTING.includes(failure),
      cause,
    },
  );
}
