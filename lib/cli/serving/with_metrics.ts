import { pathOf } from "../../server/exchange.ts";
import type { Gauges } from "./gauges.ts";
import { type Metrics, OPEN_METRICS_TYPE, TEXT_TYPE } from "./metrics.ts";
import type { Handler } from "./serve.ts";

/** Wraps a handler: requests for `/metrics` are answered with the metrics of the server. */
export function withMetrics(handler: Handler, metrics: Metrics, gauges: Gauges): Handler {
  return async (request, exchange) => {
    const { method } = request;
    if ((method !== "GET" && method !== "HEAD") || pathOf(request) !== "/metrics") {
      return await handler(request, exchange);
    }
    const isOpenMetrics = /\bapplication\/openmetrics-text\b/.test(request.headers.get("accept") ?? "");
    await gauges.read();
    const body = new TextEncoder().encode(metrics.format(isOpenMetrics));
    exchange.note = { length: method === "HEAD" ? 0 : body.length };
    return new Response(method === "HEAD" ? null : body, {
      headers: {
        "content-type": isOpenMetrics ? OPEN_METRICS_TYPE : TEXT_TYPE,
        "content-length": String(body.length),
      },
    });
  };
}
