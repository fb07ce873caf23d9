import { type Digest, splitDigest } from "../oci/digest.ts";

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

  /** Like `has`, of the digest whose words begin at `at`. */
  hasWords(words: Uint32Array, at: number): boolean {
    for (let word = 0; word < WORDS; word++) this.#key[word] = words[at + word]!;
    this.#completeKey();
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
    for (let word = 0; word < WORDS; word++) this.#key[word] = parseWord(digest, begin + 8 * word);
    this.#completeKey();
  }

  #completeKey(): void {
    const key = this.#key;
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

// Words of a sha256.
const LISTED_WORDS = 8;

/** A list of digests that takes 32 to 64 bytes for each of sha256. */
export class DigestList {
  #words = new Uint32Array(1024 * LISTED_WORDS);
  #count = 0;
  readonly #others: Digest[] = [];

  add(digest: Digest): void {
    const { algorithm, hex } = splitDigest(digest);
    if (algorithm !== "sha256") {
      this.#others.push(digest);
      return;
    }
    const begin = this.#count++ * LISTED_WORDS;
    if (begin === this.#words.length) {
      const before = this.#words;
      this.#words = new Uint32Array(before.length * 2);
      this.#words.set(before);
    }
    for (let word = 0; word < LISTED_WORDS; word++) this.#words[begin + word] = parseWord(hex, 8 * word);
  }

  /** Yields the digests that are not in a set. */
  *without(set: DigestSet): Generator<Digest> {
    for (let at = 0; at < this.#count; at++) {
      if (!set.hasWords(this.#words, at * LISTED_WORDS)) yield this.#format(at * LISTED_WORDS);
    }
    for (const digest of this.#others) if (!set.has(digest)) yield digest;
  }

  #format(at: number): Digest {
    const words = this.#words.subarray(at, at + LISTED_WORDS);
    return `sha256:${Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("")}`;
  }
}

// Parses 8 hex digits. Not with `parseInt`, which needs a string of its own and takes three times as long.
function parseWord(text: string, at: number): number {
  let word = 0;
  for (let i = at; i < at + 8; i++) {
    const code = text.charCodeAt(i);
    word = word << 4 | (code < 0x3a ? code - 0x30 : code - 0x57);
  }
  return word >>> 0;
}
