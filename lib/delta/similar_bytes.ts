import { MAX_REPLACED_BYTES } from "./operations.ts";
import type { PagedBytes } from "./paged_bytes.ts";

/** Old bytes that new ones are compared with, byte by byte. */
interface OldSide {
  readonly bytes: PagedBytes;
  /** The old position. */
  readonly position: number;
  /** The end of the range that may be copied, or its start where the comparison goes backwards. */
  readonly limit: number;
}

/** How many bytes at both ends of a gap between two copies are similar to old ones. */
interface SimilarBytes {
  /** Bytes at the start, which are like those behind the copy before. */
  readonly forward: number;
  /** Bytes at the end, which are like those before the copy behind. */
  readonly backward: number;
}

/** So many more bytes must be equal than different: an operation has a cost of its own. */
const MIN_SCORE = 8;

/**
 * Finds what of a gap between two copies is better written as differences from old bytes: a function of a program that has
 * moved differs in its addresses.
 *
 * @param before where the old bytes follow those of the copy before; `undefined` if there is none
 * @param behind where the old bytes of the copy behind begin
 */
export function findSimilar(gap: Uint8Array, before: OldSide | undefined, behind: OldSide): SimilarBytes {
  let forward = before === undefined ? 0 : similarForward(gap, before);
  let backward = similarBackward(gap, behind);
  const overlap = forward + backward - gap.length;
  if (overlap > 0) {
    // Where they meet, each byte goes to the side to which it is equal.
    const start = gap.length - backward;
    let [score, best, split] = [0, 0, 0];
    for (let i = 0; i < overlap; i++) {
      const at = start + i;
      if (before!.bytes.at(before!.position + at) === gap[at]) score++;
      if (behind.bytes.at(behind.position - gap.length + at) === gap[at]) score--;
      if (score > best) [best, split] = [score, i + 1];
    }
    forward = start + split;
    backward -= split;
  }
  return { forward, backward };
}

function similarForward(gap: Uint8Array, { bytes, position, limit }: OldSide): number {
  const length = Math.min(gap.length, limit - position, MAX_REPLACED_BYTES);
  let [score, best, found] = [0, MIN_SCORE - 1, 0];
  for (let i = 0; i < length; i++) {
    score += bytes.at(position + i) === gap[i] ? 1 : -1;
    if (score > best) [best, found] = [score, i + 1];
  }
  return found;
}

function similarBackward(gap: Uint8Array, { bytes, position, limit }: OldSide): number {
  const length = Math.min(gap.length, position - limit, MAX_REPLACED_BYTES);
  let [score, best, found] = [0, MIN_SCORE - 1, 0];
  for (let i = 1; i <= length; i++) {
    score += bytes.at(position - i) === gap[gap.length - i] ? 1 : -1;
    if (score > best) [best, found] = [score, i];
  }
  return found;
}
