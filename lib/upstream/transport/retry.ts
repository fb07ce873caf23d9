import { pause } from "../../bytes/pause.ts";
import type { OnUpstreamEvent } from "./events.ts";
import type { Middleware } from "./middleware.ts";
import { TransportError } from "./transport_error.ts";

/** The number of retries and the delays between them. Times are in milliseconds. */
export interface RetryPolicy {
  /** Maximum number of tries in total, for responses that report a busy or failing server. */
  readonly maxTries: number;
  /** Delay before the second try; it doubles with each further try. */
  readonly baseDelay: number;
  readonly maxDelay: number;
  /** The response is returned, instead of retried, when its `Retry-After` is longer than this. */
  readonly maxRetryAfter: number;
  /** The response is returned, instead of retried, when the delay would end later than this after the first try. */
  readonly maxWait: number;
  /** Maximum number of retries after a failed connection. Few: usually there is no network, and clients are waiting. */
  readonly connectRetries: number;
  /** Delay before the first retry of a connection; it doubles with each further one. */
  readonly connectDelay: number;
  /** A connection that took longer than this to fail is not retried. */
  readonly connectBudget: number;
}

/** Exponential backoff from 1 s, with at most 5 tries; failing connections are given up within a second or two. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxTries: 5,
  baseDelay: 1000,
  maxDelay: 30_000,
  maxRetryAfter: 60_000,
  maxWait: Infinity,
  connectRetries: 2,
  connectDelay: 150,
  connectBudget: 1500,
};

/** Options of `withRetry`. */
interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly sleep: Sleep;
  /** From 0 up to, but not including, 1. */
  readonly random: () => number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Wall clock, in milliseconds since 1970; used only for a `Retry-After` date when the response has no `Date`. */
  readonly wallClock: () => number;
  readonly onEvent?: OnUpstreamEvent | undefined;
  /** Whether only rate limits are retried. */
  readonly isOnlyLimited?: boolean;
}

/** Waits `milliseconds`; rejects with the reason of `signal` when it aborts. */
export type Sleep = (milliseconds: number, signal?: AbortSignal) => Promise<void>;

/** Implements `Sleep` with the timer of the runtime. */
export function sleepByTimer(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return pause(milliseconds, { signal });
}

/**
 * Returns the delay after the `failures`-th failure, in milliseconds. It grows exponentially, and a random value
 * between half and all of it is chosen, so that many clients do not retry at the same time.
 */
export function backoffDelay(failures: number, random: () => number, policy: RetryPolicy): number {
  const full = Math.min(policy.baseDelay * 2 ** Math.max(0, failures - 1), policy.maxDelay);
  return Math.round(full / 2 + random() * full / 2);
}

/**
 * Parses `Retry-After` (RFC 9110, 10.2.3), which is in seconds or a date, and returns milliseconds. A date is compared
 * with the `Date` of the response if it has one, because the local clock may be years off.
 */
export function parseRetryAfter(headers: Headers, wallClock: () => number): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (value === undefined || value === "") return undefined;
  if (/^\d+(?:\.\d+)?$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  if (Number.isNaN(at)) return undefined;
  const date = Date.parse(headers.get("date") ?? "");
  return Math.max(0, at - (Number.isNaN(date) ? wallClock() : date));
}

/** Reports whether a status of a failing server (501, 505, 508: a method, an HTTP version, a loop) does not pass. */
export function isPermanent(status: number): boolean {
  return status === 501 || status === 505 || status === 508;
}

/** Reports whether the same request may succeed a little later. */
function isRetriableStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && !isPermanent(status));
}

/** Retries a request when the server reports that it is busy or failing, or when it cannot be reached. */
export function withRetry(options: RetryOptions): Middleware {
  const { policy, sleep, random, now, wallClock, onEvent, isOnlyLimited = false } = options;

  return (next) => async (request) => {
    const { host, pathname: path } = new URL(request.url);
    const again = async (attempt: number, delay: number, reason: string) => {
      onEvent?.({ type: "retry", host, path, attempt, delay, reason });
      await sleep(delay, request.signal);
    };
    const started = now();
    for (let busy = 0, unreached = 0;;) {
      const began = now();
      let response: Response;
      try {
        response = await next(request.body === null ? request : request.clone());
      } catch (error) {
        const isQuick = now() - began <= policy.connectBudget;
        if (isOnlyLimited || !isUnreached(error) || !isQuick || unreached >= policy.connectRetries) throw error;
        unreached++;
        await again(unreached, policy.connectDelay * 2 ** (unreached - 1), error.message);
        continue;
      }
      const isRetried = isOnlyLimited ? LIMITED.includes(response.status) : isRetriableStatus(response.status);
      if (!isRetried || busy + 1 >= policy.maxTries) return response;
      const retryAfter = parseRetryAfter(response.headers, wallClock);
      if (retryAfter !== undefined && retryAfter > policy.maxRetryAfter) return response;
      // A `Retry-After` shorter than the backoff is respected; zero or none means the backoff.
      const delay = retryAfter || backoffDelay(busy + 1, random, policy);
      if (now() - started + delay > policy.maxWait) return response;
      await response.body?.cancel();
      busy++;
      await again(busy, delay, `it answered ${response.status}`);
    }
  };
}

// A registry that is overloaded, or limits its clients, gets no other request instead.
const LIMITED: readonly number[] = [429, 503];

// Certificate errors do not go away, and a time-out would only repeat: neither is retried.
function isUnreached(error: unknown): error is TransportError {
  return error instanceof TransportError &&
    ["cut", "dns", "other", "refused", "unreachable"].includes(error.failure);
}
