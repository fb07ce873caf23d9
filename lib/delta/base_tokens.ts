import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { BitInput, DeflateError } from "./bit_input.ts";
import { DecodedBlocks } from "./decoded_blocks.ts";
import { DeflateCodes, DeflateReader } from "./deflate_reader.ts";
import { openBytes } from "./delta_sections.ts";
import { tokenBytes } from "./deflate_tables.ts";
import { readChunks } from "./inflate_layers.ts";
import { MemberWindow } from "./member_window.ts";
import { selectRanges } from "./select_ranges.ts";
import type { CopiedRun } from "./copied_runs.ts";
import { cannot } from "../oci/error.ts";

/** Tokens that follow each other. */
export interface TokenPiece {
  /** The plain bytes of the new stream that the tokens make. */
  readonly start: number;
  readonly end: number;
  readonly tokens: Uint32Array;
}

/** Tokens that are decoded at a time. */
const PIECE_TOKENS = 8192;
/** No token reaches farther back. What is there is not known, and does not matter. */
const HISTORY = 32_768;

/** A block has so many plain bytes on average, but for the first ones. */
const BYTES_PER_BLOCK = 64;
const FREE_BLOCKS = 64;

/** What all runs are decoded with. */
export class TokenDecoder {
  readonly window = new MemberWindow({ history: 0, lookahead: 0 });
  readonly decoded = new DecodedBlocks(PIECE_TOKENS);
  readonly codes = new DeflateCodes();
  readonly turns = new Turns();

  /** Gives up the memory. */
  free(): void {
    free(this.window.bytes);
    free(this.decoded.tokens);
  }
}

/** Decodes the tokens of the blocks of a base from one of them on. */
export class BaseTokens {
  readonly #run: CopiedRun;
  readonly #input: BitInput;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #decoder: TokenDecoder;
  readonly #reader: DeflateReader;
  /** The new position of the next token. */
  #position: number;
  #isEnd = false;
  #blocks = 0;

  /** @param compressed the bytes of all bases */
  constructor(run: CopiedRun, compressed: ReadableBytes, decoder: TokenDecoder) {
    this.#run = run;
    this.#decoder = decoder;
    const rest = selectRanges(compressed, [{ start: Math.floor(run.bit / 8), end: compressed.size }]);
    this.#source = readChunks(openBytes(rest));
    this.#input = new BitInput(this.#source);
    this.#position = run.start - run.before;
    const { window, decoded, codes } = decoder;
    this.#reader = new DeflateReader({ input: this.#input, window, decoded, isPlainLeftOut: true, codes });
  }

  /**
   * Gives the next tokens that start within the run: none where a stored block is.
   *
   * @returns `undefined` after the last ones
   * @throws {DeflateError} when there are no blocks
   */
  async next(): Promise<TokenPiece | undefined> {
    const { start, end, bit } = this.#run;
    while (!this.#isEnd && this.#position < end) {
      if (this.#input.end === 0) {
        await this.#input.need(1);
        this.#input.take(bit % 8);
      }
      await this.#decoder.turns.next();
      const piece = await this.#decode();
      if (piece.end > start && piece.tokens.length > 0) return piece;
    }
    return undefined;
  }

  /** Ends the reading, and gives up the memory of what was read. */
  async close(): Promise<void> {
    this.#input.free();
    await this.#source.return?.();
  }

  async #decode(): Promise<TokenPiece> {
    const [{ window, decoded }, { start, end, before }] = [this.#decoder, this.#run];
    [window.length, decoded.head] = [HISTORY, decoded.tail];
    this.#isEnd = await this.#reader.decode();
    let [from, to, first] = [decoded.head, decoded.tail, this.#position];
    const { tokens, blocks } = decoded;
    const last = this.#position += window.length - HISTORY;
    this.#blocks += blocks.length;
    blocks.length = 0;
    if (this.#blocks > FREE_BLOCKS + (last - start + before) / BYTES_PER_BLOCK) {
      throw new DeflateError(cannot("read the copied tokens", "a base has too many blocks"));
    }
    while (from < to && first < start) first += tokenBytes(tokens[from++]!);
    let after = last;
    while (to > from && after - tokenBytes(tokens[to - 1]!) >= end) after -= tokenBytes(tokens[--to]!);
    return { start: first, end: after, tokens: tokens.subarray(from, to) };
  }
}
