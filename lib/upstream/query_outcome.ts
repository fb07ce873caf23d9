import { cannot, RegistryError } from "../oci/error.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import type { Outage } from "./transport/endpoint_health.ts";
import { isLoop } from "./upstream_error.ts";

/** Collects what the endpoints of an upstream answered to one query, and decides what the result is. */
export class QueryOutcome {
  readonly #repo: string;
  readonly #outages: { readonly client: EndpointClient; readonly outage: Outage }[] = [];
  #failure: RegistryError | undefined;
  #hasMiss = false;

  constructor(repo: string) {
    this.#repo = repo;
  }

  /** An endpoint does not have the content. */
  addMiss(): void {
    this.#hasMiss = true;
  }

  /** A request failed. The first failure counts, but a weak one gives way to any other. */
  addFailure(error: RegistryError): void {
    if (this.#failure === undefined || isWeak(this.#failure)) this.#failure = error;
  }

  /** The address of an endpoint is not known to be public. */
  addUnresolved({ host }: EndpointClient): void {
    const reason = "its name could not be resolved in time, and only public addresses may be contacted";
    this.addFailure(new RegistryError("UNAVAILABLE", cannot(`read ${this.#repo} from ${host}`, reason)));
  }

  /** An endpoint was not asked, because it could not be reached a short time ago. */
  addOutage(client: EndpointClient, outage: Outage): void {
    this.#outages.push({ client, outage });
  }

  /**
   * Throws the failure that the query ends with, if no endpoint had the content.
   *
   * @param now a time of the monotonic clock, in milliseconds
   */
  throwFailure(now: number): void {
    const failure = this.#failure;
    if (failure !== undefined && !isWeak(failure)) throw failure;
    const [first] = this.#outages;
    if (first !== undefined) {
      const { client: { host }, outage: { failure, until } } = first;
      const retryAfter = Math.max(1, Math.ceil((until - now) / 1000));
      const reason = `${failure.reason}; it is tried again in ${retryAfter} s`;
      throw new RegistryError("UNAVAILABLE", cannot(`read ${this.#repo} from ${host}`, reason, failure.advice), {
        cause: failure,
        retryAfter,
      });
    }
    // An endpoint that leads back to crpe has no content of its own, so a miss of another one counts.
    if (failure !== undefined && !(isLoop(failure) && this.#hasMiss)) throw failure;
  }
}

// A denial means that the content is missing, and a loop that there is no registry: neither must hide the failure of
// another endpoint.
function isWeak(error: RegistryError): boolean {
  return error.code === "DENIED" || isLoop(error);
}
