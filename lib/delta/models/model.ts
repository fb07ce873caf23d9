/**
 * A compressor model predicts what a known deflate compressor makes of plain bytes: its tokens, where its blocks end,
 * and its Huffman code lengths. A recipe (`gzip_recipe.ts`) holds only the differences between a model's predictions
 * and a real stream. A model is frozen once it has shipped: a prediction that changes needs a new version.
 *
 * A token is a number: a literal is its byte (0 to 255); a match is `length << 16 | distance`, with a length of 3 to
 * 258 and a distance of 1 to 32,768. The length 259 is a match of 258 bytes that is written with the code of 257 and
 * all its extra bits set, as some encoders do (RFC 1951 allows both).
 *
 * A model sees one gzip member at a time, and not all of its plain bytes but a window of them. Positions that it is
 * given are indices into `window.bytes`. When the window moves on, `slide` says by how much all of them decrease.
 * Both sides, the one that describes and the one that rebuilds, make the same sequence of calls, and a prediction may
 * depend on nothing else: in particular not on how many more bytes than the lookahead the window happens to hold.
 */
export interface DeflateModel {
  /** The name in a recipe and in inventories, such as `go6`. */
  readonly id: string;
  readonly version: number;
  /** Plain bytes before a position that a prediction reads. */
  readonly history: number;
  /** Plain bytes after a position that a prediction reads. The window holds them, or the end of the member. */
  readonly lookahead: number;
  /** The parameters (such as levels) that are tried on an unknown stream, the likeliest first. */
  parameterSets(effort: Effort): readonly Uint8Array[];
  /**
   * Tests whether the tokens follow from the bytes of `history` and `lookahead` alone, and hardly from their position or
   * the tokens before. Where the same bytes were compressed before, the tokens are the same then. Default: no.
   */
  isLocal?(parameters: Uint8Array): boolean;
  /**
   * Starts predicting.
   *
   * @throws {CorruptError} when the parameters are not valid
   */
  start(parameters: Uint8Array, window: PlainWindow): TokenPredictor;
}

/** How much time is spent on finding a model. */
export type Effort = "fast" | "normal" | "max";

/** Plain bytes of one gzip member around the position that is predicted. The object stays, its fields change. */
export interface PlainWindow {
  /** The same buffer all the time. Bytes at and after `length` are undefined. */
  readonly bytes: Uint8Array;
  /** The number of valid bytes. */
  readonly length: number;
  /** The position in the member of `bytes[0]`: a count that may exceed 32 bits. */
  readonly origin: number;
  /** `true` when the member's plain bytes end at `length`. */
  readonly ended: boolean;
}

/** The predictions for one stream. */
export interface TokenPredictor {
  /** How the compressor makes the headers of its dynamic blocks. */
  readonly headers: HeaderStyle;
  /** Earlier positions that were compared so far: by it, work is bounded. */
  readonly work: number;
  /** A new member starts, with an empty window. */
  reset(): void;
  /** The first `count` bytes left the window: every index decreases by `count`. */
  slide(count: number): void;
  /**
   * Predicts the token that starts at an index. The next index is the end of this token, or of the real one that
   * differs. After a stored block it may be up to 64 KiB less or more than predicted. There is at least one byte.
   */
  token(at: number): number;
  /**
   * Gives tokens that are known already, as so many calls of `token` would: from an index on, at most `most` of them, and
   * none that may end a block.
   */
  run?(at: number, most: number): TokenRun | undefined;
  /** The token that starts at an index is not the predicted one, but this one. */
  correct(at: number, token: number): void;
  /** Predicts whether the block ends after the tokens that it has (at least one, all of them as in the stream). */
  endsBlock(block: BlockTokens): boolean;
}

/** Tokens of which each starts where the one before it ends. The object is reused. */
export interface TokenRun {
  readonly tokens: Uint32Array;
  /** The index of the first one. */
  readonly from: number;
  readonly count: number;
  /** The plain bytes of all of them. */
  readonly bytes: number;
}

/** The tokens of a block, as in the stream. The object and its buffer are reused. */
export interface BlockTokens {
  readonly tokens: Uint32Array;
  /** How many tokens there are. */
  readonly count: number;
  /** The position in the member of the first plain byte: a count that may exceed 32 bits. */
  readonly start: number;
  /** The plain bytes of the tokens. */
  readonly bytes: number;
}

/** How a compressor makes the header of a dynamic block (RFC 1951 section 3.2.7), in the order of the three steps. */
export interface HeaderStyle {
  /** Sets `literalCount`, `distanceCount` and `lengths` from the tokens of the block. */
  codeLengths(block: BlockTokens, header: DynamicHeader): void;
  /** Sets `runs` and `runCount` from `lengths`, which are those of the stream. */
  runLengths(header: DynamicHeader): void;
  /** Sets `runCodeCount` and `runCodeLengths` from `runs`, which are those of the stream. */
  runCodeLengths(header: DynamicHeader): void;
}

/** The header of a dynamic block. */
export interface DynamicHeader {
  /** HLIT: the literal and length codes, 257 to 288 (more than 286 is no valid header). */
  literalCount: number;
  /** HDIST: the distance codes, 1 to 32 (more than 30 is no valid header). */
  distanceCount: number;
  /** The code lengths of the literals and lengths, followed at once by those of the distances: 320 bytes. */
  readonly lengths: Uint8Array;
  /** The run-length coding of `lengths`: symbols 0 to 18, each of 16, 17 and 18 followed by its extra bits. */
  readonly runs: Uint8Array;
  /** How many elements `runs` has. */
  runCount: number;
  /** HCLEN: the code length codes, 4 to 19. */
  runCodeCount: number;
  /** The code lengths of the symbols 0 to 18 of `runs`. */
  readonly runCodeLengths: Uint8Array;
}
