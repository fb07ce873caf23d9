import { type Digest, splitDigest } from "../oci/digest.ts";

// A digest is represented by its first 128 bits. Two digests that agree in them are not known, and in a garbage
// collection the worst consequence would be a blob that is kept.
const WORDS = 4;

/** A set of digests that takes about 25 bytes for each. */
export class DigestSet {
  #slots = new Uint32Array(1024 * WORDS);
  #size = 0;

  /** Number of digests. */
  get size(): number {
    return this.#size;
  }

  has(digest: Digest): boolean {
    return this.#isTaken(this.#find(keyOf(digest)));
  }

  add(digest: Digest): void {
    const key = keyOf(digest);
    const slot = this.#find(key);
    if (this.#isTaken(slot)) return;
    this.#slots.set(key, slot);
    // More than two thirds full, the search for a slot gets slow.
    if (++this.#size * WORDS * 3 > this.#slots.length * 2) this.#grow();
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(before.length * 2);
    for (let slot = 0; slot < before.length; slot += WORDS) {
      const key = before.subarray(slot, slot + WORDS);
      if (key.some((word) => word !== 0)) this.#slots.set(key, this.#find(key));
    }
  }

  /** Returns the slot of a key, or the free one where it belongs. */
  #find(key: ArrayLike<number>): number {
    const slots = this.#slots;
    const count = slots.length / WORDS;
    for (let i = key[0]! % count;; i = (i + 1) % count) {
      const slot = i * WORDS;
      if (!this.#isTaken(slot)) return slot;
      if (
        slots[slot] === key[0] && slots[slot + 1] === key[1] && slots[slot + 2] === key[2] && slots[slot + 3] === key[3]
      ) return slot;
    }
  }

  #isTaken(slot: number): boolean {
    const slots = this.#slots;
    return (slots[slot]! | slots[slot + 1]! | slots[slot + 2]! | slots[slot + 3]!) !== 0;
  }
}

function keyOf(digest: Digest): number[] {
  const { hex } = splitDigest(digest);
  const key = [0, 8, 16, 24].map((at) => parseInt(hex.slice(at, at + 8), 16));
  // All zeros marks a free slot.
  return key.every((word) => word === 0) ? [0, 0, 0, 1] : key;
}
