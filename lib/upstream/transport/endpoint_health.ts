import type { Fetch, Middleware } from "./middleware.ts";
import { TransportError, type TransportFailure } from "./transport_error.ts";

/** Options of an `EndpointHealth`. */
export interface HealthOptions {
  /** Scheme, host and port of the endpoint; only requests to it count. */
  readonly origin: string;
  /** Sends one small request to the endpoint, within a few seconds. Any response shows that the endpoint works. */
  readonly probe: () => Promise<void>;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** An endpoint that could not be reached. */
export interface Outage {
  /** Why the last request failed. */
  readonly failure: TransportError;
  /** Whether a request fails only after a time-out, so that a client must not wait for it. */
  readonly isSlow: boolean;
  /** When the endpoint is tried again: a time of the monotonic clock, in milliseconds. */
  readonly until: number;
}

// Time after a failure before the endpoint is tried again, in milliseconds; it doubles with each failed probe.
const FIRST_DELAY = 30_000;
const MAX_DELAY = 120_000;

// These failures concern the endpoint as a whole. A connection that was cut concerns one request.
const OUTAGES: readonly TransportFailure[] = [
  "authority",
  "certificate",
  "clock",
  "dns",
  "not-http",
  "refused",
  "timeout",
  "unreachable",
];

/**
 * Remembers that an endpoint cannot be reached, so that only the first request pays for it (a circuit breaker; fault
 * 75). A later request probes the endpoint once the delay has passed, and a response closes the circuit. After a
 * time-out the endpoint is probed at once: it may only have been slow with one request.
 */
export class EndpointHealth {
  readonly #options: HealthOptions;
  #outage: Outage & { readonly delay: number } | undefined;
  #probing: Promise<void> | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** The outage, if there is one. Starts a probe if it is due; the caller need not wait for it. */
  check(): Outage | undefined {
    if (this.#outage !== undefined && this.#options.now() >= this.#outage.until) this.#startProbe();
    return this.#outage;
  }

  /** As `check`, but waits for a probe that is due or in progress. */
  async checkAgain(): Promise<Outage | undefined> {
    this.check();
    await this.#probing;
    return this.#outage;
  }

  /** Observes the requests to the endpoint. */
  readonly middleware: Middleware = (next: Fetch) => async (request) => {
    const isOwn = new URL(request.url).origin === this.#options.origin;
    try {
      const response = await next(request);
      if (isOwn) this.#outage = undefined;
      return response;
    } catch (error) {
      if (isOwn && error instanceof TransportError && OUTAGES.includes(error.failure)) this.#open(error);
      throw error;
    }
  };

  #open(failure: TransportError): void {
    const isSlow = failure.failure === "timeout";
    const delay = this.#outage?.delay ?? FIRST_DELAY;
    const isFirst = this.#outage === undefined;
    this.#outage = { failure, isSlow, delay, until: this.#options.now() + delay };
    if (isSlow && isFirst) this.#startProbe();
  }

  #startProbe(): void {
    this.#probing ??= this.#probe().finally(() => this.#probing = undefined);
  }

  async #probe(): Promise<void> {
    const { probe, now } = this.#options;
    const before = this.#outage;
    try {
      await probe();
      this.#outage = undefined;
    } catch (error) {
      // A request may have succeeded in the meantime.
      if (this.#outage === undefined || before === undefined) return;
      const failure = error instanceof TransportError ? error : before.failure;
      const delay = before.until <= now() ? Math.min(before.delay * 2, MAX_DELAY) : before.delay;
      this.#outage = { failure, isSlow: failure.failure === "timeout", delay, until: now() + delay };
    }
  }
}
