import type { Descriptor } from "../oci/manifest.ts";

/** A manifest in memory. */
export interface CachedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Keeps the manifests used last, up to a number of bytes. A manifest never changes under its digest. */
export class ManifestCache {
  readonly #entries = new Map<string, CachedManifest>();
  readonly #maxBytes: number;
  #bytes = 0;

  /** @param maxBytes how much is kept, in bytes of manifests */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(key: string): CachedManifest | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      // A Map keeps the order of insertion: what is put in again is the last to go.
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    return entry;
  }

  set(key: string, entry: CachedManifest): void {
    this.delete(key);
    if (entry.bytes.length > this.#maxBytes) return;
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes.length;
  }
}
