import type { DynamicHeader } from "./models/model.ts";
import { DISTANCE_CODES, LITERAL_CODES } from "./deflate_tables.ts";

/** RFC 1951 section 3.2.3. */
export const [STORED, FIXED, DYNAMIC] = [0, 1, 2] as const;

/** A block of which some or all tokens were decoded. */
export interface DecodedBlock {
  readonly type: number;
  readonly isFinal: boolean;
  /** Where the block starts: the bits before it in what the reader was given. */
  readonly bit: number;
  /** The bits between the header of a stored block and the next byte. */
  readonly padding: number;
  /** The plain bytes of a stored block. */
  readonly storedBytes: number;
  /** The header of a dynamic block. */
  readonly header?: DynamicHeader;
  /** The tokens in the queue. */
  tokens: number;
  isComplete: boolean;
}

/** Blocks and tokens that were decoded and not predicted yet. */
export class DecodedBlocks {
  /** The oldest first. */
  readonly blocks: DecodedBlock[] = [];
  /** The tokens of all these blocks are those from `head` to `tail`. */
  readonly tokens: Uint32Array;
  head = 0;
  tail = 0;

  /** @param capacity the tokens that there is room for */
  constructor(capacity: number) {
    this.tokens = new Uint32Array(capacity);
  }

  /** Makes room at the end. @returns the number of tokens that may be added */
  makeRoom(): number {
    if (this.head > 0) {
      this.tokens.copyWithin(0, this.head, this.tail);
      this.tail -= this.head;
      this.head = 0;
    }
    return this.tokens.length - this.tail;
  }
}

/** The elements that `DynamicHeader.runs` has room for: each code as a symbol of its own, and extra bits. */
export const MAX_RUNS = 2 * (LITERAL_CODES + DISTANCE_CODES);

/** Makes an empty header. */
export function createHeader(): DynamicHeader {
  return {
    literalCount: 257,
    distanceCount: 1,
    lengths: new Uint8Array(LITERAL_CODES + DISTANCE_CODES),
    runs: new Uint8Array(MAX_RUNS),
    runCount: 0,
    runCodeCount: 4,
    runCodeLengths: new Uint8Array(19),
  };
}
