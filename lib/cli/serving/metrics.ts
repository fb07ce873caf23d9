/** The names of the metrics and their help texts, in the order of the output. */
const METRICS = {
  crpe_requests_total: "Requests answered, by kind, method and status.",
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
  crpe_blobs_unkept_total: "Blobs served without caching them, for lack of space.",
  crpe_tags_stale_total: "Stale tags served from the store because the upstream request failed.",
  crpe_evicted_images_total: "Images removed to keep the store within --cache-max.",
  crpe_evicted_bytes_total: "Bytes removed to keep the store within --cache-max.",
  crpe_imports_total: "Bundles received for import, by outcome.",
  crpe_import_received_bytes_total: "Bytes received in bundles and pushed blobs.",
} as const;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

// With `--upstream=*` a client can make crpe contact any host. Label values beyond this limit are counted as `other`.
const MAX_SERIES = 500;

/** Counters, formatted in the Prometheus text exposition format 0.0.4. */
export class Metrics {
  readonly #series = new Map<MetricName, Map<string, number>>();

  /** Adds `count` to a counter. */
  add(name: MetricName, count: number, labels: Readonly<Record<string, string>> = {}): void {
    let series = this.#series.get(name);
    if (series === undefined) this.#series.set(name, series = new Map());
    let key = formatLabels(labels);
    if (series.size >= MAX_SERIES && !series.has(key)) {
      key = formatLabels(Object.fromEntries(Object.keys(labels).map((label) => [label, "other"])));
    }
    series.set(key, (series.get(key) ?? 0) + count);
  }

  /** Returns the sum of a counter, over all series that have the given labels. */
  sum(name: MetricName, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => formatLabels({ [label]: value }).slice(1, -1));
    return [...this.#series.get(name) ?? []].filter(([key]) => wanted.every((pair) => key.includes(pair)))
      .reduce((sum, [, value]) => sum + value, 0);
  }

  /** Returns the sums of a counter by the values of one label. */
  sumBy(name: MetricName, label: string): Map<string, number> {
    const sums = new Map<string, number>();
    for (const [key, value] of this.#series.get(name) ?? []) {
      const of = new RegExp(`[{,]${label}="((?:[^"\\\\]|\\\\.)*)"`).exec(key)?.[1];
      if (of !== undefined) sums.set(of, (sums.get(of) ?? 0) + value);
    }
    return sums;
  }

  /** Formats all metrics. A counter that was never incremented has no samples, only its HELP and TYPE lines. */
  format(): string {
    const lines: string[] = [];
    for (const [name, help] of Object.entries(METRICS) as [MetricName, string][]) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`);
      for (const [labels, value] of this.#series.get(name) ?? []) lines.push(`${name}${labels} ${value}`);
    }
    return `${lines.join("\n")}\n`;
  }
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([label, value]) =>
    `${label}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
