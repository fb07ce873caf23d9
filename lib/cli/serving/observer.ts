import type { CacheEvent } from "../../cache/cache_event.ts";
import type { EvictedImage } from "../../cache/evictor.ts";
import type { Digest } from "../../oci/digest.ts";
import { CrpeError, RegistryError } from "../../oci/error.ts";
import { splitRepository } from "../../oci/reference.ts";
import type { AnswerInfo } from "../../registry/handler.ts";
import { pathOf } from "../../server/exchange.ts";
import type { OnUpstreamEvent } from "../../upstream/transport/events.ts";
import { describeError } from "../console/describe_error.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import type { Log } from "./log.ts";
import { methodLabel, type Metrics } from "./metrics.ts";

/** The options of an `Observer`. */
interface ObserverOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Size limit of the store, in bytes. */
  readonly cacheMax: number | undefined;
  /** Returns the free bytes of the data folder; `undefined` when the system does not report them. */
  readonly freeBytes: () => Promise<number | undefined>;
}

// Each bypassed blob is reported once. The set is cleared at this size to bound its memory.
const MAX_REPORTED = 1000;

/** Records the events of a server in its log and its metrics. */
export class Observer {
  readonly #options: ObserverOptions;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #bypassed = new Set<Digest>();
  // One failure may reach many waiting clients: it is logged once.
  readonly #reported = new WeakSet<Error>();

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = options.metrics;
  }

  /** Records an event of the upstream transport. */
  readonly onUpstreamEvent: OnUpstreamEvent = (event) => {
    const [log, metrics] = [this.#log, this.#metrics];
    const { host } = event;
    switch (event.type) {
      case "request":
        metrics.add("crpe_upstream_requests_total", 1, { host, status: String(event.status) });
        log.write("debug", `${host} answered ${event.status} to ${event.method} ${event.path}`);
        break;
      case "error":
        metrics.add("crpe_upstream_errors_total", 1, { host });
        log.write("warning", `no response from ${host} to ${event.method} ${event.path}: ${event.reason}`);
        break;
      case "wrong":
        metrics.add("crpe_upstream_errors_total", 1, { host });
        this.#warnOnce(event.error, `unusable response from ${host}: ${event.error.message}`);
        break;
      case "retry":
        metrics.add("crpe_upstream_retries_total", 1, { host });
        log.write("warning", `retrying ${event.path} of ${host} in ${event.delay} ms: ${event.reason}`);
        break;
      case "resume":
        metrics.add("crpe_upstream_retries_total", 1, { host });
        log.write(
          "warning",
          `resuming ${event.path} of ${host} at byte ${event.offset} in ${event.delay} ms: ${event.reason}`,
        );
        break;
      case "refused":
        log.write("warning", `${host}: ${event.reason}`);
        break;
    }
  };

  /** Records an event of the cache. */
  readonly onCacheEvent = (event: CacheEvent): void => {
    const metrics = this.#metrics;
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
      case "range":
        metrics.add("crpe_range_requests_total", 1, { host });
        break;
      case "incomplete":
        metrics.add("crpe_manifests_incomplete_total", 1);
        break;
      case "completed":
        metrics.add("crpe_completed_images_total", 1);
        metrics.add("crpe_completed_bytes_total", event.bytes);
        this.#log.write(
          "info",
          `completed ${event.digest} of ${event.repo}: ${formatCount(event.blobs, "blob")}, ${formatSize(event.bytes)}`,
        );
        break;
      case "uncompleted":
        metrics.add("crpe_completions_failed_total", 1);
        this.#log.write("info", `cannot complete ${event.digest} of ${event.repo}: ${describeError(event.error)}`);
        break;
      case "stale":
        metrics.add("crpe_tags_stale_total", 1, { host });
        break;
      case "bypass":
        metrics.add("crpe_blobs_unkept_total", 1);
        this.#reportBypass(event);
        break;
      case "failed":
        this.#reportFailed(event);
        break;
    }
  };

  /** Records an evicted image, or without one the removal of content that no image needs, and the bytes that it freed. */
  readonly onEvict = (image: EvictedImage | undefined, bytes: number): void => {
    this.#metrics.add("crpe_evicted_bytes_total", bytes);
    if (image === undefined) return this.#log.write("debug", `removed ${formatSize(bytes)} that no image needs`);
    this.#metrics.add("crpe_evicted_images_total", 1);
    this.#log.write("info", `evicted ${image.references.join(", ") || image.digest}, ${formatSize(bytes)}`);
  };

  /** Records a request that failed inside the registry. */
  readonly onError = (error: unknown, request: Request): void => {
    this.#log.write("error", `${pathOf(request)}: ${describeError(error)}`);
  };

  /** Records a request that failed because of an upstream. */
  readonly onUpstreamError = (error: RegistryError, request: Request): void => {
    this.#warnOnce(error, `${pathOf(request)}: ${error.message}`);
  };

  /** Records a response that was aborted after it had started. */
  readonly onAbort = (error: unknown): void => {
    if (error instanceof Error && this.#reported.has(error)) return;
    this.#log.write("error", `response aborted: ${describeError(error)}`);
  };

  /** Records a request that was refused before it reached the registry. */
  readonly onRefused = ({ method, status }: Pick<AnswerInfo, "method" | "status">): void => {
    this.onResponse({ method, kind: undefined, status }, 0);
  };

  /** Records a response of which `bytes` bytes were passed on for sending. */
  onResponse(
    { method, kind, status, outcome }: Pick<AnswerInfo, "method" | "kind" | "status" | "outcome">,
    bytes: number,
  ): void {
    this.#metrics.add("crpe_requests_total", 1, {
      kind: kind ?? "other",
      method: methodLabel(method),
      status: String(status),
    });
    if (outcome !== undefined && kind !== undefined) {
      this.#metrics.add("crpe_cache_requests_total", 1, { kind, outcome });
    }
    if (status < 300 && (kind === "manifest" || kind === "blob")) this.#metrics.add("crpe_served_bytes_total", bytes);
  }

  #reportFailed({ repo, digest, host, error }: Extract<CacheEvent, { type: "failed" }>): void {
    // A failure of the local disk does not count as an upstream error.
    const isUpstream = error instanceof RegistryError;
    const from = host ?? splitRepository(repo).host;
    if (isUpstream) this.#metrics.add("crpe_upstream_errors_total", 1, { host: from });
    const reason = error instanceof CrpeError ? error.explanation : describeError(error);
    const message = `the download of ${digest} of ${repo} from ${from} failed: ${reason}`;
    if (error instanceof Error) this.#warnOnce(error, message);
    else this.#log.write("warning", message);
  }

  #reportBypass({ repo, digest, size, why }: Extract<CacheEvent, { type: "bypass" }>): void {
    // The cache itself reports a read-only store, once for all blobs.
    if (why === "read-only" || this.#bypassed.has(digest)) return;
    if (this.#bypassed.size >= MAX_REPORTED) this.#bypassed.clear();
    this.#bypassed.add(digest);
    const warn = (reason: string) =>
      this.#log.write("warning", `${digest} of ${repo}, ${formatSize(size)}, is served, but not cached: ${reason}`);
    const { cacheMax, freeBytes } = this.#options;
    if (why === "limit") {
      return warn(`it does not fit within --cache-max ${cacheMax === undefined ? "" : formatSize(cacheMax)}`);
    }
    const reportDisk = (free?: number) => {
      warn(`no space left on the device${free === undefined ? "" : `, ${formatSize(free)} free`}`);
    };
    freeBytes().then(reportDisk, () => reportDisk());
  }

  #warnOnce(error: Error, message: string): void {
    if (this.#reported.has(error)) return;
    this.#reported.add(error);
    this.#log.write("warning", message);
  }
}
