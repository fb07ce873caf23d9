import { parseRateLimit, type RateLimit } from "../http/rate_limit.ts";
import type { RuntimeFetch } from "../upstream/transport/middleware.ts";

/** Records rate limits and clock offsets from the headers of registries' responses. */
export class AnswerRecord {
  /** Rate limits by the host of the request. */
  readonly rateLimits = new Map<string, RateLimit>();
  /** How far the registries' clocks are ahead of this machine's, in milliseconds. */
  readonly offsets: number[] = [];
  readonly #fetch: RuntimeFetch;
  readonly #wallClock: () => number;

  constructor(fetch: RuntimeFetch, wallClock: () => number) {
    this.#fetch = fetch;
    this.#wallClock = wallClock;
  }

  /** Sends a request, and records the headers of the response. */
  readonly fetch: RuntimeFetch = async (request, init) => {
    const response = await this.#fetch(request, init);
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) this.offsets.push(date - this.#wallClock());
    const rateLimit = parseRateLimit(response.headers);
    if (rateLimit !== undefined) this.rateLimits.set(new URL(request.url).host, rateLimit);
    return response;
  };
}

/** Formats a rate limit: `98 of 100 pulls left, per 6 h`. */
export function formatRateLimit({ remaining, limit, window }: RateLimit): string {
  const of = limit === undefined ? "" : ` of ${limit}`;
  return `${remaining}${of} pulls left${window === undefined ? "" : `, per ${Math.round(window / 360) / 10} h`}`;
}
