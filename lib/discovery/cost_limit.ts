/** The options of a `CostLimit`. */
interface CostLimitOptions {
  /** How much may be spent at once. */
  readonly burst: number;
  /** How much may be spent a second, in the long run. */
  readonly rate: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** Limits what is spent in a time: an allowance that grows with time up to `burst`. */
export class CostLimit {
  readonly #options: CostLimitOptions;
  #allowance: number;
  #at: number;

  constructor(options: CostLimitOptions) {
    this.#options = options;
    this.#allowance = options.burst;
    this.#at = options.now();
  }

  /** Spends `cost`, unless it is more than there is. @returns whether it was spent */
  spend(cost: number): boolean {
    const { burst, rate, now } = this.#options;
    const time = now();
    this.#allowance = Math.min(burst, this.#allowance + (time - this.#at) / 1000 * rate);
    this.#at = time;
    if (cost > this.#allowance) return false;
    this.#allowance -= cost;
    return true;
  }
}
