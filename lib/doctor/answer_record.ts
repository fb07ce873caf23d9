import type { RuntimeFetch } from "../upstream/transport/send_once.ts";

/** How many requests a registry still allows. */
export interface RateLimit {
  readonly remaining: number;
  readonly limit?: number;
  /** The time that the limit is for, in seconds. */
  readonly window?: number;
}

/** What registries' answers say besides what they are answers to. */
export class AnswerRecord {
  /** By the host that was asked. */
  readonly rateLimits = new Map<string, RateLimit>();
  /** How far the clocks of registries are before ours, in milliseconds. */
  readonly offsets: number[] = [];
  readonly #fetch: RuntimeFetch;
  readonly #wallClock: () => number;

  constructor(fetch: RuntimeFetch, wallClock: () => number) {
    this.#fetch = fetch;
    this.#wallClock = wallClock;
  }

  /** Sends a request, and notes what the answer says. */
  readonly fetch: RuntimeFetch = async (request, init) => {
    const response = await this.#fetch(request, init);
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) this.offsets.push(date - this.#wallClock());
    const rateLimit = parseRateLimit(response.headers);
    if (rateLimit !== undefined) this.rateLimits.set(new URL(request.url).host, rateLimit);
    return response;
  };
}

/** Reads Docker Hub's `RateLimit-Remaining: 98;w=21600` and `RateLimit-Limit`. */
export function parseRateLimit(headers: Headers): RateLimit | undefined {
  const remaining = /^\s*(\d+)/.exec(headers.get("ratelimit-remaining") ?? "")?.[1];
  if (remaining === undefined) return undefined;
  const limit = /^\s*(\d+)/.exec(headers.get("ratelimit-limit") ?? "")?.[1];
  const window = /;\s*w=(\d+)/.exec(headers.get("ratelimit-remaining") ?? "")?.[1];
  return {
    remaining: Number(remaining),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
    ...(window === undefined ? {} : { window: Number(window) }),
  };
}

/** In words: `98 of 100 pulls are left, in 6 h`. */
export function formatRateLimit({ remaining, limit, window }: RateLimit): string {
  const of = limit === undefined ? "" : ` of ${limit}`;
  return `${remaining}${of} pulls are left${window === undefined ? "" : `, in ${Math.round(window / 360) / 10} h`}`;
}
