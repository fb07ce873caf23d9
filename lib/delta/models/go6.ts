import { EqualBytes } from "./equal_bytes.ts";
import { GoHeaders } from "./go_headers.ts";
import type { BlockTokens, DeflateModel, PlainWindow, TokenPredictor } from "./model.ts";
import { cannot, CorruptError } from "../../oci/error.ts";

const WINDOW = 32_768;
const MASK = WINDOW - 1;
const HASH_SIZE = 1 << 17;
const HASH_FACTOR = 0x1e35a7bd;
const MIN_MATCH = 4;
const MAX_MATCH = 258;
/** A match of four bytes is only taken when it is near. */
const FAR = 4096;
const BLOCK_TOKENS = 16_384;
/** The buffer holds two windows. When less than the longest match and hash are left, it moves on by one window. */
const SLIDE_AT = 2 * WINDOW - (MIN_MATCH + MAX_MATCH) + 1;
/** Before any position. */
const NONE = -1;

/** The constants of a level. */
interface Level {
  /** A match of this length is not looked for a longer one at the next position. 0: never looked for. */
  readonly lazy: number;
  /** A match of this length ends the search. */
  readonly nice: number;
  /** The earlier positions that are compared. */
  readonly chain: number;
  /** Without lazy matching, the positions inside of longer matches are not remembered. */
  readonly remembered: number;
}

const LEVELS: Readonly<Record<number, Level>> = {
  2: { lazy: 0, nice: 16, chain: 8, remembered: 5 },
  3: { lazy: 0, nice: 32, chain: 32, remembered: 6 },
  4: { lazy: 4, nice: 16, chain: 16, remembered: MAX_MATCH },
  5: { lazy: 16, nice: 32, chain: 32, remembered: MAX_MATCH },
  6: { lazy: 16, nice: 128, chain: 128, remembered: MAX_MATCH },
  7: { lazy: 32, nice: 128, chain: 256, remembered: MAX_MATCH },
  8: { lazy: 128, nice: 258, chain: 1024, remembered: MAX_MATCH },
  9: { lazy: 258, nice: 258, chain: 4096, remembered: MAX_MATCH },
};

/**
 * Go's compress/flate up to Go 1.26, levels 2 to 9. Docker and older BuildKit use level 6 (the default).
 * The parameter is the level.
 */
export const GO6: DeflateModel = {
  id: "go6",
  version: 1,
  history: WINDOW,
  lookahead: 2 * MAX_MATCH,
  parameterSets: () => [6, 9, 5, 4, 7, 8, 3, 2].map((level) => Uint8Array.of(level)),
  isLocal: ([level = 0]) => (LEVELS[level]?.lazy ?? 0) > 0,
  start(parameters, window) {
    const level = LEVELS[parameters[0] ?? 0];
    if (level === undefined || parameters.length !== 1) {
      throw new CorruptError(cannot("use the model go6", "its level is unknown"));
    }
    return new GoPredictor(level, window);
  },
};

class GoPredictor implements TokenPredictor {
  readonly headers = new GoHeaders();
  work = 0;
  readonly #level: Level;
  readonly #window: PlainWindow;
  readonly #equal: EqualBytes;
  /** The last position of each hash of four bytes. */
  readonly #heads = new Int32Array(HASH_SIZE).fill(NONE);
  /** For each position of the last window, the distance to the one before it with the same hash. 0: none in reach. */
  readonly #distances = new Uint16Array(WINDOW);
  /** All positions before this one are in the hash chains. */
  #hashed = 0;
  /** Where Go's buffer starts: matches do not reach before it. */
  #bufferStart = 0;
  /** The match that was found last: its position, length (0: none) and distance. */
  #matchAt = NONE;
  #matchLength = 0;
  #matchDistance = 0;

  constructor(level: Level, window: PlainWindow) {
    this.#level = level;
    this.#window = window;
    this.#equal = new EqualBytes(window.bytes);
  }

  reset(): void {
    if (this.#hashed > 0) this.#heads.fill(NONE);
    this.#hashed = this.#bufferStart = 0;
    this.#matchAt = NONE;
  }

  slide(count: number): void {
    const heads = this.#heads;
    for (let index = 0; index < heads.length; index++) heads[index] = Math.max(NONE, heads[index]! - count);
    this.#hashed = Math.max(0, this.#hashed - count);
    this.#bufferStart -= count;
    this.#matchAt -= count;
  }

  token(at: number): number {
    const { bytes, length: end } = this.#window;
    const { lazy, remembered } = this.#level;
    if (lazy === 0 && at - this.#hashed > remembered) {
      // The positions inside of a long match are left out of the chains.
      this.#hashUpTo(Math.min(this.#hashed + 1, end - MIN_MATCH));
      this.#hashed = at;
    }
    if (this.#matchAt !== at) this.#findMatch(at, MIN_MATCH - 1);
    const length = this.#matchLength;
    const distance = this.#matchDistance;
    if (length === 0) return bytes[at]!;
    if (length < lazy) {
      this.#findMatch(at + 1, length);
      if (this.#matchLength > length) return bytes[at]!;
      this.#matchAt = NONE;
    }
    return length << 16 | distance;
  }

  correct(): void {
    this.#matchAt = NONE;
  }

  endsBlock({ count }: BlockTokens): boolean {
    return count === BLOCK_TOKENS;
  }

  // Sets the best match at a position that is longer than the known one.
  #findMatch(at: number, known: number): void {
    this.#matchAt = at;
    this.#matchLength = 0;
    const { bytes, length: end } = this.#window;
    // The buffer does not move any more when it holds the end.
    while (at - this.#bufferStart >= SLIDE_AT && end - this.#bufferStart > 2 * WINDOW) this.#bufferStart += WINDOW;
    if (at > end - MIN_MATCH || end - at <= known) return;
    if (this.#hashed < at) this.#hashUpTo(at);
    const distances = this.#distances;
    const hash = Math.imul(
      bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!,
      HASH_FACTOR,
    ) >>> 15;
    let candidate = this.#heads[hash]!;
    if (this.#hashed > at) candidate = distances[at & MASK] === 0 ? NONE : at - distances[at & MASK]!;
    const oldest = at - WINDOW;
    const first = Math.max(oldest, this.#bufferStart);
    const longest = Math.min(MAX_MATCH, end - at);
    const nice = Math.min(this.#level.nice, longest);
    let best = known;
    let distance = 0;
    let work = 0;
    // The last byte that a longer match has, and the one before it.
    const { view } = this.#equal;
    let ends = view.getUint16(at + best - 1, true);
    for (let tries = this.#level.chain; tries > 0 && candidate >= first; tries--) {
      work++;
      if (view.getUint16(candidate + best - 1, true) === ends) {
        const length = this.#equal.count(candidate, at, longest);
        work += length;
        if (length > best && (length > MIN_MATCH || at - candidate <= FAR)) {
          best = length;
          distance = at - candidate;
          if (length >= nice) break;
          ends = view.getUint16(at + length - 1, true);
        }
      }
      // What was before the oldest position has been overwritten.
      if (candidate === oldest) break;
      const step = distances[candidate & MASK]!;
      if (step === 0) break;
      candidate -= step;
    }
    this.work += work;
    if (distance === 0) return;
    this.#matchLength = best;
    this.#matchDistance = distance;
  }

  // Adds the positions before `at` to the chains.
  #hashUpTo(at: number): void {
    const { bytes } = this.#window;
    const heads = this.#heads;
    const distances = this.#distances;
    // Where tokens are known, positions are passed over. Those that are out of reach are not needed any more.
    let index = Math.max(this.#hashed, at - WINDOW);
    let next4 = bytes[index]! << 16 | bytes[index + 1]! << 8 | bytes[index + 2]!;
    for (; index < at; index++) {
      next4 = next4 << 8 | bytes[index + 3]!;
      const hash = Math.imul(next4, HASH_FACTOR) >>> 15;
      const distance = index - heads[hash]!;
      distances[index & MASK] = distance > WINDOW ? 0 : distance;
      heads[hash] = index;
    }
    this.#hashed = at;
  }
}
