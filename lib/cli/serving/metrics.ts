/** What the metrics are called, and what they count; in the order in which they are shown. */
const METRICS = {
  crpe_requests_total: "Requests answered, by what was asked for, method and status.",
  crpe_served_bytes_total: "Bytes of manifests and blobs that were given to be sent to clients.",
  crpe_upstream_requests_total: "Answers of upstreams, by host and status.",
  crpe_upstream_errors_total:
    "Requests to upstreams that got no answer or a wrong one, and downloads that failed, by host.",
  crpe_upstream_retries_total: "Requests that were sent to upstreams again, and transfers that were resumed, by host.",
  crpe_upstream_received_bytes_total: "Bytes of blobs that came from upstreams, by the host in the image's name.",
  crpe_downloads_total: "Downloads of blobs that were begun, by the host in the image's name.",
  crpe_downloads_shared_total: "Clients that joined a download that was running.",
  crpe_blobs_unkept_total: "Times that a blob was given on without being kept, for want of room.",
  crpe_tags_stale_total: "Tags served from the store because their upstream could not be asked.",
  crpe_evicted_images_total: "Images removed to keep the store within --cache-max.",
  crpe_evicted_bytes_total: "Bytes removed to keep the store within --cache-max.",
  crpe_imports_total: "Bundles that were sent to be imported, by how that ended.",
  crpe_import_received_bytes_total: "Bytes of bundles and of pushed blobs that were received.",
} as const;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

// A stranger can make us ask any host, with `--upstream=*`: what comes after these is counted together.
const MAX_SERIES = 500;

/** Counters, and their text in the exposition format of Prometheus 0.0.4. */
export class Metrics {
  readonly #series = new Map<MetricName, Map<string, number>>();

  /** Adds to a counter. */
  add(name: MetricName, count: number, labels: Readonly<Record<string, string>> = {}): void {
    let series = this.#series.get(name);
    if (series === undefined) this.#series.set(name, series = new Map());
    let key = formatLabels(labels);
    if (series.size >= MAX_SERIES && !series.has(key)) {
      key = formatLabels(Object.fromEntries(Object.keys(labels).map((label) => [label, "other"])));
    }
    series.set(key, (series.get(key) ?? 0) + count);
  }

  /** All metrics; a counter without labels that nothing was added to is 0. */
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
