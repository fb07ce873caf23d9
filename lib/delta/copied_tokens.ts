import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { BaseTokens, TokenDecoder, type TokenPiece } from "./base_tokens.ts";
import { DeflateError } from "./bit_input.ts";
import { tokenBytes } from "./deflate_tables.ts";
import type { BlockTokens, HeaderStyle, PlainWindow, TokenPredictor } from "./models/model.ts";
import type { CopiedRun } from "./copied_runs.ts";
import { cannot } from "../oci/error.ts";

/** What tokens are copied from. */
interface CopiedTokensInput {
  readonly runs: Iterable<CopiedRun>;
  /** The compressed bytes of all bases, one after the other. */
  readonly compressed: ReadableBytes;
  /** Whether too many wrong tokens are an error. Default: no; they have corrections. */
  readonly givesUp?: boolean;
}

/** Each copied token that is wrong has a correction of some bytes. With more of them, tokens are not copied. */
const [FREE_WRONG_TOKENS, WRONG_TOKENS] = [64, 1 / 4096];
/** After so many wrong tokens, and too few right ones, the rest is not tried. */
const HOPELESS_TOKENS = 1024;
const NO_TOKENS = new Uint32Array();

/** The tokens that a new gzip stream has from its bases, around the position that is predicted. */
export class CopiedTokens {
  /** How many of the tokens that were asked for are those of the stream, and how many are not. */
  readonly counts = { right: 0, wrong: 0 };
  /** Whether a base did not have the tokens. */
  hasFailed = false;
  readonly #decoder = new TokenDecoder();
  readonly #runs: Iterator<CopiedRun>;
  readonly #compressed: ReadableBytes;
  readonly #givesUp: boolean;
  #run: CopiedRun | undefined;
  #base: BaseTokens | undefined;
  /** In their order; positions behind the last one are not known yet. */
  #pieces: TokenPiece[] = [];
  // The next token: its piece, its number there, and where it starts.
  #piece = 0;
  #tokens: Uint32Array = NO_TOKENS;
  #index = 0;
  #at = 0;

  constructor({ runs, compressed, givesUp = false }: CopiedTokensInput) {
    this.#givesUp = givesUp;
    this.#runs = runs[Symbol.iterator]();
    this.#compressed = compressed;
    this.#run = this.#nextRun();
  }

  /**
   * Decodes the tokens from a position up to an end. Those before it are not asked for any more.
   *
   * @throws {DeflateError} when a base does not have the tokens
   */
  async prepare(position: number, end: number): Promise<void> {
    this.#drop(position);
    while (this.#run !== undefined && this.#run.start < end && (this.#pieces.at(-1)?.end ?? 0) < end) {
      this.#base ??= new BaseTokens(this.#run, this.#compressed, this.#decoder);
      this.hasFailed = true;
      const piece = await this.#base.next();
      this.hasFailed = false;
      if (piece !== undefined) {
        this.#pieces.push({ ...piece, tokens: piece.tokens.slice() });
        if (this.#pieces.length === 1) this.#enter(0);
      } else {
        await this.#closeBase();
        this.#run = this.#nextRun();
      }
    }
  }

  /** Gives the token that starts at a position; -1 if there is none. */
  at(position: number): number {
    if ((position !== this.#at || this.#index === this.#tokens.length) && !this.#seek(position)) return -1;
    const token = this.#tokens[this.#index++]!;
    this.#at += tokenBytes(token);
    return token;
  }

  /** Whether there are so few wrong tokens that the right ones make up for them. */
  get isWorthIt(): boolean {
    return this.counts.wrong <= FREE_WRONG_TOKENS + this.counts.right * WRONG_TOKENS;
  }

  /** Takes back that the last token was right. @throws {DeflateError} when too many were wrong */
  countWrong(): void {
    this.counts.right--;
    this.counts.wrong++;
    if (this.#givesUp && this.counts.wrong >= HOPELESS_TOKENS && !this.isWorthIt) {
      throw new DeflateError(cannot("copy tokens", "too many of them are wrong"));
    }
  }

  /** Leaves all other positions to the model. */
  end(): void {
    this.#run = undefined;
    this.#drop(Infinity);
  }

  /** Ends the reading, and gives up the memory. */
  async close(): Promise<void> {
    this.end();
    await this.#closeBase();
    this.#decoder.free();
  }

  async #closeBase(): Promise<void> {
    await this.#base?.close();
    this.#base = undefined;
  }

  // Tokens do not start where others do after a change: each side comes to the same ones from any position.
  #seek(position: number): boolean {
    if (this.#pieces.length === 0) return false;
    while (this.#at > position) if (!this.#back(position)) return false;
    for (;;) {
      if (this.#index === this.#tokens.length) {
        if (this.#piece + 1 >= this.#pieces.length) return false;
        this.#enter(this.#piece + 1);
      }
      if (this.#at >= position) return this.#at === position;
      this.#at += tokenBytes(this.#tokens[this.#index++]!);
    }
  }

  #back(position: number): boolean {
    if (this.#index === 0) {
      if (this.#piece === 0 || this.#pieces[this.#piece - 1]!.end <= position) return false;
      this.#enter(this.#piece - 1);
      [this.#index, this.#at] = [this.#tokens.length, this.#pieces[this.#piece]!.end];
    }
    this.#at -= tokenBytes(this.#tokens[--this.#index]!);
    return true;
  }

  #enter(piece: number): void {
    const { tokens, start } = this.#pieces[piece] ?? { tokens: NO_TOKENS, start: 0 };
    [this.#piece, this.#tokens, this.#index, this.#at] = [piece, tokens, 0, start];
  }

  #drop(position: number): void {
    let count = 0;
    while (count < this.#pieces.length && this.#pieces[count]!.end <= position) count++;
    if (count === 0) return;
    for (const { tokens } of this.#pieces.splice(0, count)) free(tokens);
    this.#piece -= count;
    if (this.#piece < 0) this.#enter(0);
  }

  #nextRun(): CopiedRun | undefined {
    const { done, value } = this.#runs.next();
    return done ? undefined : value;
  }
}

/** Lets a predictor take tokens that were copied. */
export function withCopied(
  predictor: TokenPredictor,
  window: PlainWindow,
  copied: CopiedTokens | undefined,
): TokenPredictor {
  return copied === undefined ? predictor : new CopyingPredictor(predictor, window, copied);
}

/** Predicts the tokens that were copied, and leaves all others to a model. */
class CopyingPredictor implements TokenPredictor {
  readonly #predictor: TokenPredictor;
  readonly #window: PlainWindow;
  readonly #copied: CopiedTokens;
  #isFirstMember = true;
  #isCopied = false;

  constructor(predictor: TokenPredictor, window: PlainWindow, copied: CopiedTokens) {
    this.#predictor = predictor;
    this.#window = window;
    this.#copied = copied;
  }

  get headers(): HeaderStyle {
    return this.#predictor.headers;
  }

  get work(): number {
    return this.#predictor.work;
  }

  reset(): void {
    // Positions are those of the first member: layers have one.
    if (!this.#isFirstMember) this.#copied.end();
    this.#isFirstMember = false;
    this.#predictor.reset();
  }

  slide(count: number): void {
    this.#predictor.slide(count);
  }

  token(at: number): number {
    const token = this.#copied.at(this.#window.origin + at);
    this.#isCopied = token >= 0;
    if (!this.#isCopied) return this.#predictor.token(at);
    this.#copied.counts.right++;
    return token;
  }

  correct(at: number, token: number): void {
    if (this.#isCopied) this.#copied.countWrong();
    this.#predictor.correct(at, token);
  }

  endsBlock(block: BlockTokens): boolean {
    return this.#predictor.endsBlock(block);
  }
}
