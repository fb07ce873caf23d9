import { SingleFlight } from "../../content/single_flight.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { walkRepositories } from "../../store/list_repositories.ts";
import { listBlobs, sizeOfFile } from "../../store/store_scan.ts";
import { blobPath } from "../../store/layout.ts";
import type { MeteredLink } from "../../upstream/link/metered_link.ts";
import { COMMIT } from "../console/build.ts";
import { VERSION } from "../console/version.ts";
import type { Metrics } from "./metrics.ts";

/** The options of `Gauges`. */
interface GaugesOptions {
  readonly metrics: Metrics;
  /** The data folder. */
  readonly root: string;
  readonly freeBytes: () => Promise<number | undefined>;
  /** The bucket that has the content, if one has. It is not measured: its provider does, and a list costs money. */
  readonly bucket?: { readonly copies?: { readonly bytes: number } | undefined } | undefined;
  /** Counts the responses that are being sent. */
  readonly countTransfers: () => number;
  /** What limits the upstreams. */
  readonly link?: MeteredLink | undefined;
  /** Lists the crpes that are found in the network; absent when none are looked for. */
  readonly listPeers?: (() => readonly string[]) | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
  /** Measures the store; replaced by tests. */
  readonly measure?: (root: string) => Promise<StoreTotals>;
}

/** What a scan of the store adds up. */
export interface StoreTotals {
  readonly blobs: number;
  readonly bytes: number;
  /** The number of tags. */
  readonly images: number;
}

// A scan reads the size of every blob; it is not worth that at each scrape.
const SCAN_MILLISECONDS = 5 * 60_000;

/** Reads the gauges of a server when its metrics are requested. The store is scanned in the background. */
export class Gauges {
  /** Counts the open connections of the server. */
  countConnections: () => number = () => 0;
  readonly #options: GaugesOptions;
  // A scan of a large store on a slow disk takes longer than the time between two scans.
  readonly #scans = new SingleFlight<void>();
  #scannedAt = -Infinity;
  #peers: readonly string[] = [];

  constructor(options: GaugesOptions) {
    this.#options = options;
    const { metrics, now = () => performance.now() } = options;
    const labels = { version: VERSION, commit: COMMIT ?? "unknown", deno: Deno.version.deno };
    metrics.set("crpe_build_info", 1, labels);
    metrics.set("crpe_start_time_seconds", Math.round((Date.now() - now()) / 1000));
  }

  /** Sets the gauges. Those of the store appear when its first scan is done. */
  async read(): Promise<void> {
    const { metrics, countTransfers, freeBytes, now = () => performance.now() } = this.#options;
    metrics.set("crpe_open_connections", this.countConnections());
    metrics.set("crpe_transfers", countTransfers());
    metrics.set("crpe_free_bytes", await freeBytes().catch(() => undefined));
    this.#readPeers();
    await this.#readLink();
    const { bucket } = this.#options;
    metrics.set("crpe_copies_bytes", bucket?.copies?.bytes);
    if (bucket !== undefined || now() - this.#scannedAt < SCAN_MILLISECONDS) return;
    // A store that cannot be read is reported by the health check.
    this.#scans.run("store", () => this.#scan()).catch(() => {}).finally(() => this.#scannedAt = now());
  }

  #readPeers(): void {
    const { metrics, listPeers } = this.#options;
    if (listPeers === undefined) return;
    for (const host of this.#peers) metrics.set("crpe_found_peer", undefined, { host });
    this.#peers = listPeers();
    for (const host of this.#peers) metrics.set("crpe_found_peer", 1, { host });
    metrics.set("crpe_found_peers", this.#peers.length);
  }

  async #readLink(): Promise<void> {
    const { metrics, link } = this.#options;
    if (link === undefined) return;
    const { rate, budgets } = link.limits;
    metrics.set("crpe_link_rate_limit_bytes", rate);
    for (const host of new Set([undefined, ...budgets.map(({ host }) => host)])) {
      const until = await link.closedUntil(host).catch(() => 0);
      metrics.set("crpe_link_open", until === undefined ? 1 : 0, { host: host ?? "*" });
    }
    for (const { host = "*", period, bytes, used } of await link.readUse().catch(() => [])) {
      metrics.set("crpe_link_budget_bytes", bytes, { host, period });
      metrics.set("crpe_link_used_bytes", used, { host, period });
    }
  }

  async #scan(): Promise<void> {
    const { metrics, root, measure = measureStore } = this.#options;
    const { blobs, bytes, images } = await measure(root);
    metrics.set("crpe_store_blobs", blobs);
    metrics.set("crpe_store_bytes", bytes);
    metrics.set("crpe_images", images);
  }
}

async function measureStore(root: string): Promise<StoreTotals> {
  let [blobs, bytes, images] = [0, 0, 0];
  for await (const digest of listBlobs(root)) {
    blobs++;
    bytes += await sizeOfFile(`${root}/${blobPath(digest)}`) ?? 0;
  }
  const store = new DiskStore(root, { isReadOnly: true });
  for await (const repo of walkRepositories(root)) images += (await store.listTagLinks(repo)).length;
  return { blobs, bytes, images };
}
