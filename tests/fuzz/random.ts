/** Numbers that look random and are the same for the same seed; not for secrets. */
export class Random {
  #state: number;

  /** @param seeds whole numbers; each combination gives a sequence of its own */
  constructor(...seeds: readonly number[]) {
    this.#state = 0x9e3779b9;
    for (const seed of seeds) {
      this.#state = (this.#state ^ (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0;
      this.next();
      this.#state = Math.imul(this.#state, 0xc2b2ae35) >>> 0;
    }
  }

  /** A whole number below 2³² (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A whole number from 0 to `end` without it; 0 where there is none. */
  below(end: number): number {
    return end <= 0 ? 0 : Math.floor(this.next() / 2 ** 32 * end);
  }

  /** True in so many of all cases: 0.25 is every fourth. */
  chance(share: number): boolean {
    return this.next() / 2 ** 32 < share;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** So many bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.next() & 0xff);
  }
}
