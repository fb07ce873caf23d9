import type { OnUpstreamEvent } from "./events.ts";
import type { Middleware } from "./middleware.ts";
import { TransportError } from "./transport_error.ts";

/** How often, and after how long, something is tried again. Times are in milliseconds. */
export interface RetryPolicy {
  /** Most tries in all, for answers that say that the server is busy or broken. */
  readonly maxTries: number;
  /** Wait before the second try; it doubles with each further one. */
  readonly baseDelay: number;
  readonly maxDelay: number;
  /** A longer `Retry-After` is not waited for: the answer is given back instead. */
  readonly maxRetryAfter: number;
  /** A wait that would end later than this after the first try is not begun: the answer is given back instead. */
  readonly maxWait: number;
  /** Most further tries where no connection came about. Few, as mostly there is no network, and clients wait. */
  readonly connectRetries: number;
  /** Wait before the first of those; it doubles. */
  readonly connectDelay: number;
  /** Failing to connect took longer than this: it is not tried again. */
  readonly connectBudget: number;
}

/** Exponential from 1 s, at most 5 tries; a connection is given up within a second or two. */
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

/** What retrying needs from outside. */
export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly sleep: Sleep;
  /** From 0 up to, not with, 1. */
  readonly random: () => number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Wall clock, in milliseconds since 1970; used only against a `Retry-After` date when the answer has no `Date`. */
  readonly wallClock: () => number;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/** Waits `milliseconds`; throws the signal's reason when that aborts. */
export type Sleep = (milliseconds: number, signal?: AbortSignal) => Promise<void>;

/** `Sleep` by the runtime's timer. */
export function sleepByTimer(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * The wait after the `failures`-th failure, in milliseconds: exponential, and between half of it and all of it by
 * chance, so that many clients do not come back together.
 */
export function backoffDelay(failures: number, random: () => number, policy: RetryPolicy): number {
  const full = Math.min(policy.baseDelay * 2 ** Math.max(0, failures - 1), policy.maxDelay);
  return Math.round(full / 2 + random() * full / 2);
}

/**
 * Reads `Retry-After` (RFC 9110, 10.2.3), seconds or a date, as milliseconds. A date is held against the answer's own
 * `Date` if it has one: the clock here may be years off.
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

/** Tells whether the same request may have another answer a little later. */
export function isRetriableStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/** Sends a request again when the server says that it cannot now, or when it could not be reached. */
export function withRetry(options: RetryOptions): Middleware {
  const { policy, sleep, random, now, wallClock, onEvent } = options;

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
        if (!isUnreached(error) || !isQuick || unreached >= policy.connectRetries) throw error;
        unreached++;
        await again(unreached, policy.connectDelay * 2 ** (unreached - 1), error.message);
        continue;
      }
      if (!isRetriableStatus(response.status) || busy + 1 >= policy.maxTries) return response;
      const asked = parseRetryAfter(response.headers, wallClock);
      if (asked !== undefined && asked > policy.maxRetryAfter) return response;
      // A server that asks for less than the backoff knows better; one that asks for no wait gets the backoff.
      const delay = asked || backoffDelay(busy + 1, random, policy);
      if (now() - started + delay > policy.maxWait) return response;
      await response.body?.cancel();
      busy++;
      await again(busy, delay, `it answered ${response.status}`);
    }
  };
}

// A certificate stays what it is, and whoever let the whole time-out pass would do it again.
function isUnreached(error: unknown): error is TransportError {
  return error instanceof TransportError &&
    ["cut", "dns", "other", "refused", "unreachable"].includes(error.failure);
}
