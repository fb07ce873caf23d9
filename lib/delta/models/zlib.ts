import { DISTANCE_EXTRA_BITS, distanceCode } from "../deflate_tables.ts";
import type { BlockTokens, DeflateModel, PlainWindow, TokenPredictor } from "./model.ts";
import { ZlibChains } from "./zlib_chains.ts";
import { ZlibHeaders } from "./zlib_headers.ts";
import { cannot, CorruptError } from "../../oci/error.ts";

const WINDOW = 32_768;
const MIN_MATCH = 3;
const MAX_MATCH = 258;
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
  isLocal: ([level = 0]) => (LEVELS[level]?.lazy ?? 0) > 0,
  start(parameters, window) {
    const [level = 0, memory = 0, rule = 2] = parameters;
    if (parameters.length !== 3 || LEVELS[level] === undefined || memory < 8 || memory > 9 || rule > 1) {
      throw new CorruptError(cannot("use the model zlib", "its parameters are unknown"));
    }
    return new ZlibPredictor({ level, memory, isGzip: rule === 1 }, window);
  },
};

class ZlibPredictor implements TokenPredictor {
  readonly headers = new ZlibHeaders();
  readonly #level: Level;
  readonly #window: PlainWindow;
  readonly #chains: ZlibChains;
  readonly #endRule: (block: BlockTokens) => boolean;
  /** The better match that made the last token a literal: its position. */
  #pendingAt = NONE;

  constructor({ level, memory, isGzip }: Parameters, window: PlainWindow) {
    this.#level = LEVELS[level]!;
    this.#window = window;
    const { chain, good, nice, lazy } = this.#level;
    this.#chains = new ZlibChains(window, { hashBits: memory + 7, chain, good, nice, far: lazy > 0 ? FAR : WINDOW });
    const blockTokens = (1 << (memory + 6)) - 1;
    this.#endRule = isGzip ? createGzipRule(level) : ({ count }) => count === blockTokens;
  }

  get work(): number {
    return this.#chains.work;
  }

  reset(): void {
    this.#chains.reset();
    this.#pendingAt = NONE;
  }

  slide(count: number): void {
    this.#chains.slide(count);
    this.#pendingAt -= count;
  }

  token(at: number): number {
    const { bytes } = this.#window;
    const { lazy } = this.#level;
    if (lazy === 0) return this.#fastToken(at);
    const chains = this.#chains;
    if (this.#pendingAt !== at) chains.search(at, MIN_MATCH - 1);
    const { length, distance } = chains;
    if (length < MIN_MATCH) return bytes[at]!;
    if (length < lazy) {
      chains.search(at + 1, length);
      if (chains.length > length) {
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
    const chains = this.#chains;
    if (at - chains.hashed > this.#level.remembered) {
      // The positions inside of a long match are left out of the chains.
      chains.hashUpTo(Math.min(chains.hashed + 1, end - MIN_MATCH + 1));
      chains.hashed = at;
    }
    chains.search(at, MIN_MATCH - 1);
    return chains.length < MIN_MATCH ? bytes[at]! : chains.length << 16 | chains.distance;
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
  // The sums of the tokens up to the last check. The first check of each block starts them anew.
  let [counted, bits, matches] = [0, 0, 0];
  return ({ tokens, count, bytes }) => {
    if (count === GZIP_TOKENS) return true;
    if (level < 3 || count % GZIP_CHECK !== 0) return false;
    if (count === GZIP_CHECK) [counted, bits, matches] = [0, 0, 0];
    for (; counted < count; counted++) {
      const token = tokens[counted]!;
      bits += 8;
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
