import type { Digest } from "../oci/digest.ts";

// A digest is represented by its first 128 bits. Two digests that agree in them are not known, and in a garbage
// collection the worst consequence would be a blob that is kept.
const WORDS = 4;

/** A set of digests that takes about 25 bytes for each. */
export class DigestSet {
  #slots = new Uint32Array(1024 * WORDS);
  #size = 0;
  // The key that is searched for.
  readonly #key = new Uint32Array(WORDS);

  /** Number of digests. */
  get size(): number {
    return this.#size;
  }

  has(digest: Digest): boolean {
    this.#setKey(digest);
    return this.#isTaken(this.#find());
  }

  add(digest: Digest): void {
    this.#setKey(digest);
    const slot = this.#find();
    if (this.#isTaken(slot)) return;
    this.#slots.set(this.#key, slot);
    // More than two thirds full, the search for a slot gets slow.
    if (++this.#size * WORDS * 3 > this.#slots.length * 2) this.#grow();
  }

  #setKey(digest: Digest): void {
    const begin = digest.indexOf(":") + 1;
    const key = this.#key;
    for (let word = 0; word < WORDS; word++) key[word] = parseDigestWord(digest, begin + 8 * word);
    // All zeros marks a free slot.
    if ((key[0]! | key[1]! | key[2]! | key[3]!) === 0) key[WORDS - 1] = 1;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(before.length * 2);
    for (let slot = 0; slot < before.length; slot += WORDS) {
      for (let word = 0; word < WORDS; word++) this.#key[word] = before[slot + word]!;
      if (this.#key.some((word) => word !== 0)) this.#slots.set(this.#key, this.#find());
    }
  }

  /** Returns the slot of the key, or the free one where it belongs. */
  #find(): number {
    const [slots, key] = [this.#slots, this.#key];
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

/** Parses 8 hex digits. */
// Not with `parseInt`, which needs a string of its own and takes three times as long.
export function parseDigestWord(text: string, at: number): number {
  let word = 0;
  for (let i = at; i < at + 8; i++) {
    const code = text.charCodeAt(i);
    word = word << 4 | (code < 0x3a ? code - 0x30 : code - 0x57);
  }
  return word >>> 0;
}
