/** A generator of pseudo-random numbers (mulberry32); the same seeds give the same numbers. */
export class Random {
  #state: number;

  /** @param seeds integers; each combination gives its own sequence */
  constructor(...seeds: readonly number[]) {
    this.#state = 0x9e3779b9;
    for (const seed of seeds) {
      this.#state = (this.#state ^ (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0;
      this.next();
      this.#state = Math.imul(this.#state, 0xc2b2ae35) >>> 0;
    }
  }

  /** Gives an integer below 2³². */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** Gives a number from 0 to 1, exclusive. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  /** Gives an integer from 0 to `end`, exclusive; 0 when `end` is not positive. */
  below(end: number): number {
    return end <= 0 ? 0 : Math.floor(this.fraction() * end);
  }

  /** Gives true with a probability from 0 to 1. */
  chance(share: number): boolean {
    return this.fraction() < share;
  }

  /** Gives an element of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** Gives `length` bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.next() & 0xff);
  }
}
