// The first byte of a block in the section `blocks`: its type, and how its end is known.

/** The block ends where the model expects it, or with the member. */
export const END_PREDICTED = 0;
/** The block has no plain bytes. */
export const END_EMPTY = 1;
/** The block has as many plain bytes as the one before it that had any. */
export const END_SAME_BYTES = 2;
/** A number follows: the tokens of the block, or the bytes of a stored one. */
export const END_COUNT = 3;

/** What the first byte says. */
export interface BlockRecord {
  readonly isFinal: boolean;
  readonly type: number;
  readonly end: number;
  /** The header of the dynamic block differs from the predicted one: the section `headers` has the difference. */
  readonly hasHeader: boolean;
  /** The padding of the stored block is not zero: a byte with it follows, before the number. */
  readonly hasPadding: boolean;
}

/** @returns the byte of a record */
export function formatBlockRecord({ isFinal, type, end, hasHeader, hasPadding }: BlockRecord): number {
  return Number(isFinal) | type << 1 | end << 3 | Number(hasHeader) << 5 | Number(hasPadding) << 6;
}

/** @returns the record of a byte, or `undefined` when there is none */
export function parseBlockRecord(byte: number): BlockRecord | undefined {
  const type = byte >> 1 & 3;
  if (type === 3 || byte > 127) return undefined;
  return {
    isFinal: (byte & 1) === 1,
    type,
    end: byte >> 3 & 3,
    hasHeader: (byte & 32) !== 0,
    hasPadding: (byte & 64) !== 0,
  };
}

/** Fewer plain bytes than this for each block make no recipe: what a block costs is bounded by its plain bytes. */
const BYTES_PER_BLOCK = 64;
const FREE_BLOCKS = 4096;
/** Comparisons of a model for each plain byte, at most. The slowest level of zlib needs some hundred. */
const WORK_PER_BYTE = 2048;
const FREE_WORK = 2 ** 28;

/** Plain bytes that may be predicted in vain, besides as many as there are. */
const FREE_WASTE = 2 ** 22;

/** What a stream has cost so far. */
interface StreamCost {
  readonly blocks: number;
  /** Comparisons of the model. */
  readonly work: number;
  /** Plain bytes that were predicted beyond the ends of stored blocks; the next block predicts them again. */
  readonly wasted: number;
  readonly plainBytes: number;
}

/** `true` when a stream has more blocks, or made its model do more work, than its plain bytes allow. */
export function isExcessive({ blocks, work, wasted, plainBytes }: StreamCost): boolean {
  return blocks > FREE_BLOCKS + plainBytes / BYTES_PER_BLOCK || work > FREE_WORK + plainBytes * WORK_PER_BYTE ||
    wasted > FREE_WASTE + plainBytes;
}
