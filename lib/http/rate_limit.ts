/** The rate limit of a registry. */
export interface RateLimit {
  /** Requests that are still allowed. */
  readonly remaining: number;
  readonly limit?: number;
  /** The period of the limit, in seconds. */
  readonly window?: number;
}

/** Parses Docker Hub's `RateLimit-Remaining: 98;w=21600` and `RateLimit-Limit`. */
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
