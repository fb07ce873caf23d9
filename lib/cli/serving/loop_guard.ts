import type { AsyncLocalStorage } from "node:async_hooks";
import { formatVia, isLoop } from "../../http/via.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import { respondError } from "../../registry/answer.ts";
import type { OnRefused } from "./host_check.ts";
import type { Handler } from "./serve.ts";

/**
 * Ends loops of registries that are each other's upstream. Every request to an upstream names the instances that it has
 * passed (`Via`): those of the request that it answers, and this one. A request that names this one is answered 508
 * (RFC 5842).
 */
export class LoopGuard {
  readonly #id: string;
  #received: AsyncLocalStorage<string> | undefined;

  /** @param id the identity of this instance, without spaces and commas; by default a random one */
  constructor(id: string = crypto.randomUUID().slice(0, 13)) {
    this.#id = id;
  }

  /** Returns the `Via` header for a request to an upstream. */
  readonly via = (): string => formatVia(this.#received?.getStore(), this.#id);

  /** Wraps a handler: what it causes is attributed to the request that it handles. */
  wrap(handler: Handler, onRefused: OnRefused = () => {}): Handler {
    return (request, exchange) => {
      const via = request.headers.get("via");
      if (isLoop(via, this.#id)) {
        const refusal = refuseLoop(request.method);
        onRefused({ method: request.method, status: refusal.status });
        return refusal;
      }
      return via === null ? handler(request, exchange) : this.#attribute(via, () => handler(request, exchange));
    };
  }

  async #attribute(via: string, answer: () => Response | Promise<Response>): Promise<Response> {
    // Loaded when it is needed: most servers are never asked by another instance.
    const { AsyncLocalStorage } = await import("node:async_hooks");
    this.#received ??= new AsyncLocalStorage();
    return await this.#received.run(via, answer);
  }
}

function refuseLoop(method: string): Response {
  const reason = "the request came from this registry itself; one of its upstreams leads back to it";
  return respondError(new RegistryError("BAD_GATEWAY", cannot("answer", reason), { status: 508 }), method);
}
