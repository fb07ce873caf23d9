import type { CacheEvent } from "../content/blob_cache.ts";
import { splitRepository } from "../oci/reference.ts";
import type { OnUpstreamEvent } from "../upstream/events.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Puts what happens on the way to upstreams into the log and the metrics. */
export function createUpstreamObserver(log: Log, metrics: Metrics): OnUpstreamEvent {
  return (event) => {
    const { host } = event;
    switch (event.type) {
      case "request":
        metrics.add("crpe_upstream_requests_total", 1, { host, status: String(event.status) });
        log.write("debug", `${host} answered ${event.status} to ${event.method} ${event.path}`);
        break;
      case "error":
        metrics.add("crpe_upstream_errors_total", 1, { host });
        log.write("warning", `${host} gave no answer to ${event.method} ${event.path}: ${event.reason}`);
        break;
      case "retry":
        metrics.add("crpe_upstream_retries_total", 1, { host });
        log.write("warning", `${host} is asked for ${event.path} again in ${event.delay} ms: ${event.reason}`);
        break;
      case "resume":
        metrics.add("crpe_upstream_retries_total", 1, { host });
        log.write(
          "warning",
          `${event.path} of ${host} goes on at byte ${event.offset} in ${event.delay} ms: ${event.reason}`,
        );
        break;
      case "refused":
        log.write("warning", `${host}: ${event.reason}`);
        break;
    }
  };
}

/** Puts what the cache does into the metrics. */
export function createCacheObserver(metrics: Metrics): (event: CacheEvent) => void {
  return (event) => {
    const { host } = splitRepository(event.repo);
    switch (event.type) {
      case "download":
        metrics.add("crpe_downloads_total", 1, { host });
        break;
      case "received":
        metrics.add("crpe_upstream_received_bytes_total", event.bytes, { host });
        break;
      case "shared":
        metrics.add("crpe_downloads_shared_total", 1);
        break;
      case "stale":
        metrics.add("crpe_tags_stale_total", 1, { host });
        break;
      case "unkept":
        metrics.add("crpe_blobs_unkept_total", 1);
        break;
    }
  };
}
