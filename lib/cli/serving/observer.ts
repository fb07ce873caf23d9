import type { CacheEvent } from "../../cache/blob_cache.ts";
import type { EvictedImage } from "../../cache/evictor.ts";
import type { Digest } from "../../oci/digest.ts";
import { RegistryError } from "../../oci/error.ts";
import { splitRepository } from "../../oci/reference.ts";
import type { ResponseInfo } from "../../registry/handler.ts";
import { pathOf } from "../../server/exchange.ts";
import type { OnUpstreamEvent } from "../../upstream/transport/events.ts";
import { describeError } from "../console/describe_error.ts";
import { formatSize } from "../console/quantity.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** What an observer works with. */
export interface ObserverOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  /** How large the store may grow, in bytes. */
  readonly cacheMax: number | undefined;
  /** How many bytes may still be written to the data folder. */
  readonly freeBytes: () => Promise<number | undefined>;
}

// So many blobs are told of once; a store that cannot keep more than that has been heard of.
const MAX_REPORTED = 1000;

/** Puts what a server does into its log and its metrics. */
export class Observer {
  readonly #options: ObserverOptions;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #bypassed = new Set<Digest>();
  // Many clients may wait for what fails once.
  readonly #reported = new WeakSet<Error>();

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = options.metrics;
  }

  /** Something happened on the way to an upstream. */
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
        log.write("warning", `${host} gave no answer to ${event.method} ${event.path}: ${event.reason}`);
        break;
      case "wrong":
        metrics.add("crpe_upstream_errors_total", 1, { host });
        this.#warnOnce(event.error, `${host} gave an answer that cannot be used: ${event.error.message}`);
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

  /** The cache did something. */
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

  /** An image had to go. */
  readonly onEvict = ({ digest, references }: EvictedImage, bytes: number): void => {
    this.#metrics.add("crpe_evicted_images_total", 1);
    this.#metrics.add("crpe_evicted_bytes_total", bytes);
    this.#log.write("info", `evicted ${references.join(", ") || digest}, ${formatSize(bytes)}`);
  };

  /** A request failed for a reason inside the registry. */
  readonly onError = (error: unknown, request: Request): void => {
    this.#log.write("error", `${pathOf(request)}: ${describeError(error)}`);
  };

  /** A request failed because of an upstream. */
  readonly onUpstreamError = (error: RegistryError, request: Request): void => {
    this.#warnOnce(error, `${pathOf(request)}: ${error.message}`);
  };

  /** An answer that had begun was broken off. */
  readonly onAbort = (error: unknown): void => {
    if (error instanceof Error && this.#reported.has(error)) return;
    this.#log.write("error", `an answer was broken off: ${describeError(error)}`);
  };

  /** An answer was given to be sent. */
  onResponse({ method, kind, status, bytes }: ResponseInfo): void {
    this.#metrics.add("crpe_requests_total", 1, { kind: kind ?? "other", method, status: String(status) });
    if (status < 300 && (kind === "manifest" || kind === "blob")) this.#metrics.add("crpe_served_bytes_total", bytes);
  }

  #reportFailed({ repo, digest, host, error }: Extract<CacheEvent, { type: "failed" }>): void {
    // What is wrong with our own disk is not the upstream's fault.
    const isUpstream = error instanceof RegistryError;
    const from = host ?? splitRepository(repo).host;
    if (isUpstream) this.#metrics.add("crpe_upstream_errors_total", 1, { host: from });
    const reason = describeError(error).replace(/^Cannot .*?: /, "");
    const message = `the download of ${digest} of ${repo} from ${from} failed: ${reason}`;
    if (error instanceof Error) this.#warnOnce(error, message);
    else this.#log.write("warning", message);
  }

  #reportBypass({ repo, digest, size, why }: Extract<CacheEvent, { type: "bypass" }>): void {
    // A store that cannot be written is told of by the cache itself, as it is the same for all that comes.
    if (why === "read-only" || this.#bypassed.has(digest)) return;
    if (this.#bypassed.size >= MAX_REPORTED) this.#bypassed.clear();
    this.#bypassed.add(digest);
    const tell = (reason: string) =>
      this.#log.write("warning", `${digest} of ${repo}, ${formatSize(size)}, is served, but not kept: ${reason}`);
    const { cacheMax, freeBytes } = this.#options;
    if (why === "limit") {
      return tell(`there is no room for it within --cache-max ${cacheMax === undefined ? "" : formatSize(cacheMax)}`);
    }
    const reportDisk = (free?: number) => {
      tell(`there is no space left on the device${free === undefined ? "" : `, ${formatSize(free)} are free`}`);
    };
    freeBytes().then(reportDisk, () => reportDisk());
  }

  #warnOnce(error: Error, message: string): void {
    if (this.#reported.has(error)) return;
    this.#reported.add(error);
    this.#log.write("warning", message);
  }
}
