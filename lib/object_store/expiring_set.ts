/** Keys that count for a limited time. The oldest are dropped when there are too many. */
export class ExpiringSet {
  readonly #added = new Map<string, number>();
  readonly #ttl: number;
  readonly #maxSize: number;
  readonly #now: () => number;

  /** @param ttl in milliseconds */
  constructor({ ttl, maxSize, now = () => performance.now() }: { ttl: number; maxSize: number; now?: () => number }) {
    this.#ttl = ttl;
    this.#maxSize = maxSize;
    this.#now = now;
  }

  has(key: string): boolean {
    const added = this.#added.get(key);
    return added !== undefined && this.#now() < added + this.#ttl;
  }

  add(key: string): void {
    this.#added.delete(key);
    this.#added.set(key, this.#now());
    for (const oldest of this.#added.keys()) {
      if (this.#added.size <= this.#maxSize) break;
      this.#added.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#added.delete(key);
  }
}
