// The constants of RFC 1951 section 3.2, and the arithmetic of tokens (`models/model.ts`).

/** The first length of each length code (257 to 285). */
export const LENGTH_BASE = Uint16Array.of(
  ...[3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27],
  ...[31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258],
);
/** The extra bits of each length code. */
export const LENGTH_EXTRA_BITS = Uint8Array.of(
  ...[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0],
);
/** The first distance of each distance code. */
export const DISTANCE_BASE = Uint16Array.of(
  ...[1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769],
  ...[1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577],
);
/** The extra bits of each distance code. */
export const DISTANCE_EXTRA_BITS = Uint8Array.of(
  ...[0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13],
);
/** The order in which the code lengths of the run-length symbols are written. */
export const RUN_CODE_ORDER = Uint8Array.of(16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15);
/** The extra bits of the run-length symbols 16, 17 and 18. */
export const RUN_EXTRA_BITS = Uint8Array.of(2, 3, 7);
/** The number that a run of the symbols 16, 17 and 18 stands for with its extra bits at zero. */
export const RUN_BASE = Uint8Array.of(3, 3, 11);

/** The literal and length codes that a header may give lengths to; 286 and 287 are never used. */
export const LITERAL_CODES = 288;
/** The distance codes that a header may give lengths to; 30 and 31 are never used. */
export const DISTANCE_CODES = 32;
/** The code that ends a block. */
export const END_OF_BLOCK = 256;
/** The length of a token whose match of 258 bytes is written with the code of 257 (`models/model.ts`). */
export const LONG_258 = 259;

/** The code lengths of blocks with fixed codes. */
export const FIXED_LITERAL_LENGTHS = new Uint8Array(LITERAL_CODES).fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280)
  .fill(8, 280);
/** The code lengths of the distances of blocks with fixed codes. */
export const FIXED_DISTANCE_LENGTHS = new Uint8Array(DISTANCE_CODES).fill(5);

/** The length code less 257 of a token's length (3 to 259). */
export const LENGTH_CODE = makeLengthCodes();
const DISTANCE_CODE = makeDistanceCodes();

/** How many code lengths of run-length symbols a header has: it leaves out unused ones at the end, but has four. */
export function countRunCodes(lengths: Uint8Array): number {
  let count = RUN_CODE_ORDER.length;
  while (count > 4 && lengths[RUN_CODE_ORDER[count - 1]!] === 0) count--;
  return count;
}

/** The distance code of a distance (1 to 32,768). */
export function distanceCode(distance: number): number {
  return distance <= 256 ? DISTANCE_CODE[distance - 1]! : DISTANCE_CODE[256 + ((distance - 1) >> 7)]!;
}

/** The plain bytes of a token. */
export function tokenBytes(token: number): number {
  const length = token >>> 16;
  return length === 0 ? 1 : length === LONG_258 ? 258 : length;
}

function makeLengthCodes(): Uint8Array {
  const codes = new Uint8Array(LONG_258 + 1);
  for (let code = 0; code < LENGTH_BASE.length; code++) {
    codes.fill(code, LENGTH_BASE[code]!, Math.min(259, LENGTH_BASE[code]! + (1 << LENGTH_EXTRA_BITS[code]!)));
  }
  codes[LONG_258] = 27;
  return codes;
}

// The codes of the distances 1 to 256 one by one, then one for each 128 distances.
function makeDistanceCodes(): Uint8Array {
  const codes = new Uint8Array(512);
  for (let code = 0; code < DISTANCE_BASE.length; code++) {
    const first = DISTANCE_BASE[code]! - 1;
    const end = first + (1 << DISTANCE_EXTRA_BITS[code]!);
    if (first < 256) codes.fill(code, first, end);
    else codes.fill(code, 256 + (first >> 7), 256 + (end >> 7));
  }
  return codes;
}
