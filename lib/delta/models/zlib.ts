import { DISTANCE_EXTRA_BITS, distanceCode } from "../deflate_tables.ts";
import { EqualBytes } from "./equal_bytes.ts";
import { type BlockTokens, type DeflateModel, type PlainWindow, RecipeError, type TokenPredictor } from "./model.ts";
import { ZlibHeaders } from "./zlib_headers.ts";

const WINDOW = 32_768;
const MASK = WINDOW - 1;
const MIN_MATCH = 3;
const MAX_MATCH = 258;
/** So many bytes of the window are kept free for the longest match. */
const MAX_DISTANCE = WINDOW - (MIN_MATCH + MAX_MATCH + 1);
/** A match of three bytes is only taken when it is near. */
const FAR = 4096;
/** Before any position. */
const NONE = -1;

/** The constants of a level, the same in zlib and GNU gzip. */
interface Level {
  /** The search is shortened to a quarter when a match of this length is known. */
  readonly good: number;
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
  1: { good: 4, lazy: 0, nice: 8, chain: 4, remembered: 4 },
  2: { good: 4, lazy: 0, nice: 16, chain: 8, remembered: 5 },
  3: { good: 4, lazy: 0, nice: 32, chain: 32, remembered: 6 },
  4: { good: 4, lazy: 4, nice: 16, chain: 16, remembered: MAX_MATCH },
  5: { good: 8, lazy: 16, nice: 32, chain: 32, remembered: MAX_MATCH },
  6: { good: 8, lazy: 16, nice: 128, chain: 128, remembered: MAX_MATCH },
  7: { good: 8, lazy: 32, nice: 128, chain: 256, remembered: MAX_MATCH },
  8: { good: 32, lazy: 128, nice: 258, chain: 1024, remembered: MAX_MATCH },
  9: { good: 32, lazy: 258, nice: 258, chain: 4096, remembered: MAX_MATCH },
};
const LEVEL_NUMBERS = [6, 9, 5, 7, 8, 4, 1, 3, 2];

/** The parameters, as they are in a recipe. */
interface Parameters {
  readonly level: number;
  /** zlib's memLevel: 8 is the default, 9 doubles the hash table and the blocks. */
  readonly memory: number;
  /** Blocks end by the rule of GNU gzip. */
  readonly isGzip: boolean;
}

/**
 * zlib (of Mark Adler) with levels 1 to 9, and GNU gzip, which shares its matching. Parameters: the level, memLevel (8
 * or 9), and 1 for GNU gzip or 0.
 */
export const ZLIB: DeflateModel = {
  id: "zlib",
  version: 1,
  history: WINDOW,
  lookahead: 2 * MAX_MATCH,
  parameterSets(effort) {
    const sets = LEVEL_NUMBERS.flatMap((level) => [Uint8Array.of(level, 8, 0), Uint8Array.of(level, 8, 1)]);
    return effort === "fast" ? sets : [...sets, ...LEVEL_NUMBERS.map((level) => Uint8Array.of(level, 9, 0))];
  },
  start(parameters, window) {
    const [level = 0, memory = 0, rule = 2] = parameters;
    if (parameters.length !== 3 || LEVELS[level] === undefined || memory < 8 || memory > 9 || rule > 1) {
      throw new RecipeError("Cannot use the model zlib: its parameters are unknown");
    }
    return new ZlibPredictor({ level, memory, isGzip: rule === 1 }, window);
  },
};

class ZlibPredictor implements TokenPredictor {
  readonly headers = new ZlibHeaders();
  work = 0;
  readonly #level: Level;
  readonly #window: PlainWindow;
  readonly #equal: EqualBytes;
  readonly #endRule: (block: BlockTokens) => boolean;
  readonly #shift: number;
  readonly #hashMask: number;
  /** The last position of each hash of three bytes. */
  readonly #heads: Int32Array;
  /** For each position of the last window, the distance to the one before it with the same hash. 0: none in reach. */
  readonly #distances = new Uint16Array(WINDOW);
  /** All positions before this one are in the hash chains. */
  #hashed = 0;
  /** The better match that made the last token a literal: its position. */
  #pendingAt = NONE;
  /** The match that was found last. */
  #length = 0;
  #distance = 0;

  constructor({ level, memory, isGzip }: Parameters, window: PlainWindow) {
    this.#level = LEVELS[level]!;
    this.#window = window;
    this.#equal = new EqualBytes(window.bytes);
    const blockTokens = (1 << (memory + 6)) - 1;
    this.#endRule = isGzip ? createGzipRule(level) : ({ count }) => count === blockTokens;
    const hashBits = memory + 7;
    this.#shift = Math.ceil(hashBits / MIN_MATCH);
    this.#hashMask = (1 << hashBits) - 1;
    this.#heads = new Int32Array(1 << hashBits).fill(NONE);
  }

  reset(): void {
    if (this.#hashed > 0) this.#heads.fill(NONE);
    this.#hashed = 0;
    this.#pendingAt = NONE;
  }

  slide(count: number): void {
    const heads = this.#heads;
    for (let index = 0; index < heads.length; index++) heads[index] = Math.max(NONE, heads[index]! - count);
    this.#hashed = Math.max(0, this.#hashed - count);
    this.#pendingAt -= count;
  }

  token(at: number): number {
    const { bytes } = this.#window;
    const { lazy } = this.#level;
    if (lazy === 0) return this.#fastToken(at);
    if (this.#pendingAt !== at) this.#findMatch(at, MIN_MATCH - 1);
    const length = this.#length;
    const distance = this.#distance;
    if (length < MIN_MATCH) return bytes[at]!;
    if (length < lazy) {
      this.#findMatch(at + 1, length);
      if (this.#length > length) {
        this.#pendingAt = at + 1;
        return bytes[at]!;
      }
    }
    return length << 16 | distance;
  }

  correct(): void {
    this.#pendingAt = NONE;
  }

  endsBlock(block: BlockTokens): boolean {
    return this.#endRule(block);
  }

  #fastToken(at: number): number {
    const { bytes, length: end } = this.#window;
    if (at - this.#hashed > this.#level.remembered) {
      // The positions inside of a long match are left out of the chains.
      this.#hashUpTo(Math.min(this.#hashed + 1, end - MIN_MATCH + 1));
      this.#hashed = at;
    }
    this.#findMatch(at, MIN_MATCH - 1);
    return this.#length < MIN_MATCH ? bytes[at]! : this.#length << 16 | this.#distance;
  }

  // Sets the best match at a position that is longer than the known one. Its length is 2 when there is none.
  #findMatch(at: number, known: number): void {
    this.#length = MIN_MATCH - 1;
    this.#distance = 0;
    const { bytes, length: end, origin } = this.#window;
    const longest = Math.min(MAX_MATCH, end - at);
    if (longest < MIN_MATCH || longest <= known) return;
    if (this.#hashed < at) this.#hashUpTo(at);
    const { good, nice: wanted, chain, lazy } = this.#level;
    const distances = this.#distances;
    const hash = (bytes[at]! << (2 * this.#shift) ^ bytes[at + 1]! << this.#shift ^ bytes[at + 2]!) & this.#hashMask;
    let candidate = this.#heads[hash]!;
    if (this.#hashed > at) candidate = distances[at & MASK] === 0 ? NONE : at - distances[at & MASK]!;
    // The first position of the stream marks the end of a chain. It is never matched.
    const first = origin === 0 ? 0 : NONE;
    if (candidate <= first || at - candidate > MAX_DISTANCE) return;
    // Only the first candidate may be as far away as this.
    const limit = Math.max(first, at - MAX_DISTANCE);
    const nice = Math.min(wanted, longest);
    let best = known;
    let work = 0;
    // The last byte that a longer match has, and the one before it.
    const { view } = this.#equal;
    let ends = view.getUint16(at + best - 1, true);
    for (let tries = known >= good ? chain >> 2 : chain; tries > 0; tries--) {
      work++;
      if (view.getUint16(candidate + best - 1, true) === ends) {
        const length = this.#equal.count(candidate, at, longest);
        work += length;
        if (length > best) {
          best = length;
          this.#distance = at - candidate;
          if (length >= nice) break;
          ends = view.getUint16(at + length - 1, true);
        }
      }
      const step = distances[candidate & MASK]!;
      candidate -= step;
      if (step === 0 || candidate <= limit) break;
    }
    this.work += work;
    if (this.#distance === 0 || lazy > 0 && best === MIN_MATCH && this.#distance > FAR) return;
    this.#length = best;
  }

  // Adds the positions before `at` to the chains.
  #hashUpTo(at: number): void {
    const { bytes } = this.#window;
    const heads = this.#heads;
    const distances = this.#distances;
    const shift = this.#shift;
    const mask = this.#hashMask;
    let index = this.#hashed;
    let hash = bytes[index]! << shift ^ bytes[index + 1]!;
    for (; index < at; index++) {
      hash = (hash << shift ^ bytes[index + 2]!) & mask;
      const distance = index - heads[hash]!;
      distances[index & MASK] = distance > WINDOW ? 0 : distance;
      heads[hash] = index;
    }
    this.#hashed = Math.max(at, this.#hashed);
  }
}

/** The tokens of the largest block of GNU gzip. */
const GZIP_TOKENS = 32_767;
/** GNU gzip looks whether it should end a block after each so many tokens. */
const GZIP_CHECK = 4096;

/**
 * GNU gzip ends a block early, from level 3 on, where an estimate says that it compresses to less than half, and less
 * than half of its tokens are matches. The estimate is made before the position moves on: the bytes of a match do not
 * count, except that lazy matching is already one byte further.
 */
function createGzipRule(level: number): (block: BlockTokens) => boolean {
  const isLazy = LEVELS[level]!.lazy > 0;
  return ({ tokens, count, bytes }) => {
    if (count === GZIP_TOKENS) return true;
    if (level < 3 || count % GZIP_CHECK !== 0) return false;
    let [bits, matches] = [count * 8, 0];
    for (let index = 0; index < count; index++) {
      const token = tokens[index]!;
      if (token < 256) continue;
      bits += 5 + DISTANCE_EXTRA_BITS[distanceCode(token & 0xffff)]!;
      matches++;
    }
    const last = tokens[count - 1]!;
    const lastBytes = last < 256 ? 1 : last >>> 16;
    const input = isLazy ? bytes - lastBytes + 1 : bytes - lastBytes;
    return matches < (count >> 1) && (bits >>> 3) < (input >> 1);
  };
}
