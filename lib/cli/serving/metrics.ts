/** The names of the counters and their help texts, in the order of the output. */
const COUNTERS = {
  crpe_requests_total: "Requests answered, by kind, method and status.",
  crpe_cache_requests_total:
    "Manifests and blobs served, by kind and outcome: hit (from the store), miss (fetched), shared (with another client's download), stale (the upstream did not answer).",
  crpe_served_bytes_total: "Bytes of manifests and blobs passed on for sending to clients.",
  crpe_upstream_requests_total: "Responses of upstreams, by host and status.",
  crpe_upstream_errors_total:
    "Upstream requests without a response or with an unusable one, and failed downloads, by host.",
  crpe_upstream_retries_total: "Retried upstream requests and resumed transfers, by host.",
  crpe_upstream_received_bytes_total: "Bytes of blobs received from upstreams, by the host in the image's name.",
  crpe_downloads_total: "Blob downloads started, by the host in the image's name.",
  crpe_downloads_shared_total: "Clients that joined a download in progress.",
  crpe_range_requests_total:
    "Byte ranges far ahead of a download that were requested separately, by the host in the image's name.",
  crpe_completed_images_total: "Images whose blobs that no client requested were downloaded in the background.",
  crpe_completed_bytes_total: "Bytes of blobs that were downloaded in the background.",
  crpe_completions_failed_total: "Images whose blobs could not be downloaded in the background.",
  crpe_manifests_incomplete_total: "Manifests served although blobs are missing and no upstream can be asked for them.",
  crpe_blobs_unkept_total: "Blobs that were served without caching them, because there was no space.",
  crpe_tags_stale_total: "Stale tags served from the store because the upstream request failed.",
  crpe_evicted_images_total: "Images removed to keep the store within --cache-max.",
  crpe_evicted_bytes_total: "Bytes removed to keep the store within --cache-max.",
  crpe_shed_total: "Connections closed and requests refused to stay within the limits of the server, by reason.",
  crpe_discovery_ignored_total: "Datagrams about crpes of the network (--discover) that were ignored, by reason.",
  crpe_imports_total: "Bundles received for import, by outcome.",
  crpe_import_received_bytes_total: "Bytes received in bundles and pushed blobs.",
} as const;

/** The names of the gauges. They are read when the metrics are. */
const GAUGES = {
  crpe_build_info: "Always 1; the version, the commit and the runtime are labels.",
  crpe_start_time_seconds: "When the process started, in seconds since 1970.",
  crpe_open_connections: "Open connections of clients.",
  crpe_transfers: "Responses of the registry that are being sent.",
  crpe_store_bytes: "Bytes of the blobs in the store, measured at most every five minutes.",
  crpe_store_blobs: "Blobs in the store, measured with crpe_store_bytes.",
  crpe_images: "Tags in the store, measured with crpe_store_bytes.",
  crpe_copies_bytes: "Bytes of the copies on this machine, where the store is a bucket.",
  crpe_free_bytes: "Free bytes of the file system of the data folder.",
  crpe_found_peers: "Other crpes that are found in the network at present (--discover).",
  crpe_found_peer: "Always 1; a crpe that is found in the network at present, by host.",
  crpe_link_open: "1 when upstreams may be used now, 0 outside of --window or when a --budget is used, by host.",
  crpe_link_rate_limit_bytes: "Bytes a second that may be received from upstreams (--limit-rate).",
  crpe_link_budget_bytes: "Bytes that may be received in the period (--budget), by host and period.",
  crpe_link_used_bytes: "Bytes of a budget that are used in the period, by host and period.",
} as const;

/** The names of the histograms. */
const HISTOGRAMS = {
  crpe_request_duration_seconds: "Time from a request until the last byte of its response, by kind.",
} as const;

/** Upper limits of the buckets of a histogram, in seconds: from a cached manifest to a large layer on a slow line. */
const BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300] as const;

/** The name of a counter. */
export type MetricName = keyof typeof COUNTERS;
/** The name of a gauge. */
export type GaugeName = keyof typeof GAUGES;
/** The name of a histogram. */
export type HistogramName = keyof typeof HISTOGRAMS;

/** The labels of a sample. */
export type Labels = Readonly<Record<string, string>>;

// With `--upstream=*` a client can make crpe contact any host. Label values beyond this limit are counted as `other`.
const MAX_SERIES = 500;

interface Distribution {
  readonly labels: Labels;
  /** The number of values in each bucket, not cumulated; the last one has no upper limit. */
  readonly counts: number[];
  sum: number;
}

/** The media types of the two formats. */
export const TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8";
export const OPEN_METRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** Counters, gauges and histograms, formatted as Prometheus (text exposition format 0.0.4) or OpenMetrics 1.0. */
export class Metrics {
  readonly #counters = new Map<MetricName, Map<string, number>>();
  readonly #gauges = new Map<GaugeName, Map<string, number>>();
  readonly #histograms = new Map<HistogramName, Map<string, Distribution>>();

  /** Adds `count` to a counter. */
  add(name: MetricName, count: number, labels: Labels = {}): void {
    const series = seriesOf(this.#counters, name);
    const key = formatLabels(limitLabels(series, labels));
    series.set(key, (series.get(key) ?? 0) + count);
  }

  /** Returns the sum of a counter. */
  sum(name: MetricName): number {
    return [...this.#counters.get(name)?.values() ?? []].reduce((sum, value) => sum + value, 0);
  }

  /** Returns the sums of a counter by the values of one label. */
  sumBy(name: MetricName, label: string): Map<string, number> {
    const sums = new Map<string, number>();
    for (const [key, value] of this.#counters.get(name) ?? []) {
      const of = new RegExp(`[{,]${label}="((?:[^"\\\\]|\\\\.)*)"`).exec(key)?.[1];
      if (of !== undefined) sums.set(of, (sums.get(of) ?? 0) + value);
    }
    return sums;
  }

  /** Returns the value of a gauge that has no labels; `undefined` until it is set. */
  gauge(name: GaugeName): number | undefined {
    return this.#gauges.get(name)?.get("");
  }

  /** Sets a gauge; `undefined` removes it. */
  set(name: GaugeName, value: number | undefined, labels: Labels = {}): void {
    const series = seriesOf(this.#gauges, name);
    if (value === undefined) series.delete(formatLabels(labels));
    else series.set(formatLabels(labels), value);
  }

  /** Adds a value to a histogram. */
  observe(name: HistogramName, value: number, labels: Labels = {}): void {
    const series = seriesOf(this.#histograms, name);
    const limited = limitLabels(series, labels);
    const key = formatLabels(limited);
    let found = series.get(key);
    if (found === undefined) {
      found = { labels: limited, counts: new Array<number>(BUCKETS.length + 1).fill(0), sum: 0 };
      series.set(key, found);
    }
    const at = BUCKETS.findIndex((limit) => value <= limit);
    found.counts[at < 0 ? BUCKETS.length : at]! += 1;
    found.sum += value;
  }

  /**
   * Formats all metrics. One that was never used has no samples, only its HELP and TYPE lines.
   *
   * @param isOpenMetrics whether the format is OpenMetrics: the name of a counter's family has no `_total`, and the text
   *   ends with `# EOF`
   */
  format(isOpenMetrics = false): string {
    const lines: string[] = [];
    const head = (name: string, help: string, type: string) => {
      const family = isOpenMetrics && type === "counter" ? name.replace(/_total$/, "") : name;
      lines.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${type}`);
    };
    for (const [name, help] of entriesOf(COUNTERS)) {
      head(name, help, "counter");
      for (const [labels, value] of this.#counters.get(name) ?? []) lines.push(`${name}${labels} ${value}`);
    }
    for (const [name, help] of entriesOf(GAUGES)) {
      head(name, help, "gauge");
      for (const [labels, value] of this.#gauges.get(name) ?? []) lines.push(`${name}${labels} ${value}`);
    }
    for (const [name, help] of entriesOf(HISTOGRAMS)) {
      head(name, help, "histogram");
      for (const distribution of this.#histograms.get(name)?.values() ?? []) {
        lines.push(...formatDistribution(name, distribution, isOpenMetrics));
      }
    }
    if (isOpenMetrics) lines.push("# EOF");
    return `${lines.join("\n")}\n`;
  }
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Returns the label for the method of a request. A client may send any word as a method: unknown ones are `other`. */
export function methodLabel(method: string): string {
  return METHODS.has(method) ? method : "other";
}

function formatDistribution(name: string, { labels, counts, sum }: Distribution, isOpenMetrics: boolean): string[] {
  let total = 0;
  const buckets = counts.map((count, i) => {
    total += count;
    // OpenMetrics writes limits as floating-point numbers.
    const limit = BUCKETS[i] === undefined
      ? "+Inf"
      : isOpenMetrics && Number.isInteger(BUCKETS[i])
      ? `${BUCKETS[i]}.0`
      : `${BUCKETS[i]}`;
    return `${name}_bucket${formatLabels({ ...labels, le: limit })} ${total}`;
  });
  return [...buckets, `${name}_sum${formatLabels(labels)} ${sum}`, `${name}_count${formatLabels(labels)} ${total}`];
}

function seriesOf<Name, Value>(all: Map<Name, Map<string, Value>>, name: Name): Map<string, Value> {
  const found = all.get(name) ?? new Map<string, Value>();
  all.set(name, found);
  return found;
}

function limitLabels(series: ReadonlyMap<string, unknown>, labels: Labels): Labels {
  if (series.size < MAX_SERIES || series.has(formatLabels(labels))) return labels;
  return Object.fromEntries(Object.keys(labels).map((label) => [label, "other"]));
}

function entriesOf<Name extends string>(texts: Readonly<Record<Name, string>>): [Name, string][] {
  return Object.entries(texts) as [Name, string][];
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) =>
    `${label}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
