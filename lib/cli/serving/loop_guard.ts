import type { AsyncLocalStorage } from "node:async_hooks";
import { formatVia } from "../../http/via.ts";
import { refuseLoop } from "../../registry/refuse_loop.ts";
import type { OnRefused } from "./host_check.ts";
import type { Handler } from "./serve.ts";

/**
 * Ends loops of registries that are each other's upstream. Every request to an upstream names the instances that it has
 * passed (`Via`): those of the request that it answers, and this one. A request that names this one is refused.
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
      const refused = refuseLoop(request, this.#id);
      if (refused !== undefined) {
        onRefused({ method: request.method, status: refused.status });
        return refused;
      }
      const via = request.headers.get("via");
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
