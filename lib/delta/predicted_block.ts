import { DeflateError } from "./bit_input.ts";
import { tokenBytes } from "./deflate_tables.ts";
import type { MemberWindow } from "./member_window.ts";
import type { BlockTokens, TokenPredictor, TokenRun } from "./models/model.ts";
import { cannot } from "../oci/error.ts";

/** The tokens of the largest block that has a recipe: 4 MiB of memory. Known compressors write at most 65,536. */
const MAX_TOKENS = 1 << 20;
const LONGEST_STORED = 65_535;

/** The tokens of a block as they become known, and where the model expects their end. */
export class PredictedBlock implements BlockTokens {
  tokens = new Uint32Array(1 << 15);
  count = 0;
  start = 0;
  bytes = 0;
  /** `true` when the model expected the end after one of the tokens so far. */
  hasPredictedEnd = false;
  /** `true` when the model expected the end after the last token, and not before. */
  isPredictedEnd = false;
  readonly #predictor: TokenPredictor;

  constructor(predictor: TokenPredictor) {
    this.#predictor = predictor;
  }

  /** A block starts at a position of the member. */
  begin(start: number): void {
    this.start = start;
    this.count = this.bytes = 0;
    this.hasPredictedEnd = this.isPredictedEnd = false;
  }

  /**
   * Adds a token. The model is asked for the end until it expects it for the first time: the same on both sides.
   *
   * @throws {DeflateError} when the block is too large
   */
  add(token: number): void {
    if (this.count === this.tokens.length) this.#grow();
    this.tokens[this.count++] = token;
    this.bytes += tokenBytes(token);
    this.isPredictedEnd = false;
    if (!this.hasPredictedEnd && this.#predictor.endsBlock(this)) this.hasPredictedEnd = this.isPredictedEnd = true;
  }

  /**
   * Adds tokens after none of which the model expects the end.
   *
   * @throws {DeflateError} when the block is too large
   */
  addRun({ tokens, from, count, bytes }: TokenRun): void {
    while (this.count + count > this.tokens.length) this.#grow();
    this.tokens.set(tokens.subarray(from, from + count), this.count);
    this.count += count;
    this.bytes += bytes;
    this.isPredictedEnd = false;
  }

  #grow(): void {
    if (this.tokens.length >= MAX_TOKENS) throw new DeflateError(cannot("describe a block", "it is too large"));
    const grown = new Uint32Array(this.tokens.length * 2);
    grown.set(this.tokens);
    this.tokens = grown;
  }
}

/**
 * Predicts the length of a stored block that starts at the next byte of the window. The tokens that made the
 * compressor store it are not in the stream: the model predicts them, up to the end that it expects.
 *
 * @returns -1 when no stored block is that long
 */
export function predictStoredLength(
  predictor: TokenPredictor,
  block: PredictedBlock,
  window: MemberWindow,
): number {
  block.begin(window.position);
  const limit = Math.min(window.at + LONGEST_STORED, window.length);
  for (let at = window.at; at < limit;) {
    const token = predictor.token(at);
    block.add(token);
    if (block.isPredictedEnd) break;
    at += tokenBytes(token);
  }
  const isEnd = block.isPredictedEnd || (window.ended && window.at + block.bytes === window.length);
  return isEnd && block.bytes <= LONGEST_STORED ? block.bytes : -1;
}
