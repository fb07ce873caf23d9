import type { Descriptor, Manifest } from "../oci/manifest.ts";

/** A manifest in the cache. */
export interface CachedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  /** The parsed bytes. */
  readonly manifest: Manifest;
  /** Whether it was fetched from an upstream, and therefore grants no blobs. */
  readonly isFetched: boolean;
}

// The parsed form takes about twice the memory of the bytes.
const COST_FACTOR = 3;

/** An LRU cache of manifests, limited in bytes, with the parsed forms. Entries never become stale, because a digest fixes the content. */
export class ManifestCache {
  readonly #entries = new Map<string, CachedManifest>();
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param maxBytes total size of the cached manifests and their parsed forms, in bytes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): CachedManifest | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      // A Map iterates in insertion order: an entry inserted again is evicted last.
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return entry;
  }

  set(key: string, entry: CachedManifest): void {
    this.delete(key);
    if (costOf(entry) > this.#maxBytes) return;
    this.#entries.set(key, entry);
    this.#bytes += costOf(entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= costOf(entry);
  }
}

function costOf({ bytes }: CachedManifest): number {
  return bytes.length * COST_FACTOR;
}
