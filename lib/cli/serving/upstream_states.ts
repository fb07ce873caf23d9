import type { RateLimit } from "../../http/rate_limit.ts";
import type { UpstreamEvent } from "../../upstream/transport/events.ts";

/** What the requests of a server have shown about an upstream host, since the server started. */
interface UpstreamState {
  /** When it answered last. */
  readonly answered?: Date;
  /** When a request last got no response, and why. */
  readonly failed?: Date;
  readonly reason?: string;
  /** Whether the last login was accepted; absent without one. */
  readonly isLoginAccepted?: boolean;
  readonly rateLimit?: RateLimit;
}

const MAX_HOSTS = 1000;

/** The states of upstreams, as their answers to the requests of this server show them. Nothing is asked for it. */
export class UpstreamStates {
  // A Map iterates in insertion order: the host that was asked last is at its end.
  readonly #states = new Map<string, UpstreamState>();
  readonly #now: () => Date;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** Records an event of the upstream transport. */
  record(event: UpstreamEvent): void {
    switch (event.type) {
      case "request":
        return this.#change(event.host, {
          answered: this.#now(),
          ...event.rateLimit === undefined ? {} : { rateLimit: event.rateLimit },
        });
      case "error":
        return this.#change(event.host, { failed: this.#now(), reason: event.reason });
      case "login":
        return this.#change(event.host, { isLoginAccepted: event.isAccepted });
    }
  }

  /** Returns what is known of a host. @param host with its port if it has one, as in a URL */
  find(host: string): UpstreamState | undefined {
    return this.#states.get(host);
  }

  /** Forgets a host: its settings are others now. */
  forget(host: string): void {
    this.#states.delete(host);
  }

  #change(host: string, change: UpstreamState): void {
    const state = { ...this.#states.get(host), ...change };
    this.#states.delete(host);
    this.#states.set(host, state);
    if (this.#states.size <= MAX_HOSTS) return;
    const [oldest] = this.#states.keys();
    this.#states.delete(oldest!);
  }
}
