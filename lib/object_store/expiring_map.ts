/** Values that count for a limited time. The oldest are dropped when there are too many. */
export class ExpiringMap<Value> {
  readonly #entries = new Map<string, { readonly value: Value; readonly added: number }>();
  readonly #ttl: number;
  readonly #maxSize: number;
  readonly #now: () => number;

  /** @param ttl in milliseconds */
  constructor({ ttl, maxSize, now = () => performance.now() }: { ttl: number; maxSize: number; now?: () => number }) {
    this.#ttl = ttl;
    this.#maxSize = maxSize;
    this.#now = now;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && this.#now() < entry.added + this.#ttl ? entry.value : undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, added: this.#now() });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxSize) break;
      this.#entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
