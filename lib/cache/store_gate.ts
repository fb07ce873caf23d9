/**
 * Keeps manifests and tags from being stored while images are evicted: an eviction decides by what the store references
 * at its start. Any number of them can be stored at the same time.
 */
export class StoreGate {
  readonly #writes = new Set<Promise<unknown>>();
  #eviction: Promise<void> | undefined;
  #waiting = 0;

  /** Whether a write waits for the eviction in progress. */
  get isAwaited(): boolean {
    return this.#waiting > 0;
  }

  /** Runs `write` when no eviction is in progress. It must not call `write` itself, nor wait for an eviction. */
  async write<T>(write: () => Promise<T>): Promise<T> {
    this.#waiting++;
    // Its callers are woken in order, and run before another eviction can begin.
    while (this.#eviction !== undefined) await this.#eviction;
    this.#waiting--;
    const running = write();
    const ended: Promise<unknown> = running.catch(() => {}).finally(() => this.#writes.delete(ended));
    this.#writes.add(ended);
    return await running;
  }

  /** Runs `evict` when the running writes have ended; later ones wait for it. One call after the other. */
  async evict<T>(evict: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#eviction = promise;
    try {
      await Promise.all(this.#writes);
      return await evict();
    } finally {
      this.#eviction = undefined;
      resolve();
    }
  }
}
