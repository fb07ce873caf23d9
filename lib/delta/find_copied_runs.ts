import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { cannot } from "../oci/error.ts";
import { DeflateError } from "./bit_input.ts";
import { DecodedBlocks } from "./decoded_blocks.ts";
import type { DeltaBase } from "./delta_format.ts";
import { openBytes } from "./delta_sections.ts";
import { GzipReader } from "./gzip_reader.ts";
import { readChunks } from "./inflate_layers.ts";
import { MemberWindow } from "./member_window.ts";
import { selectRanges } from "./select_ranges.ts";
import type { BaseRange } from "./tar_diff.ts";
import { type CopiedRun, MAX_BEFORE_RATIO, MIN_RUN_BYTES } from "./copied_runs.ts";

/** New plain bytes that are copied from old ones without a change. */
export interface CopiedSpan {
  /** The position of the first one. */
  readonly start: number;
  readonly length: number;
  /** Where the old ones are, among the plain bytes of all bases. */
  readonly from: number;
}

/** The bases, and their compressed bytes. */
interface CompressedBases {
  readonly bases: readonly Pick<DeltaBase, "size" | "plainSize">[];
  readonly compressed: ReadableBytes;
}

/** What a token depends on: the plain bytes before it, and those from it on. */
const [HISTORY, LOOKAHEAD] = [32_768, 516];
/** A shorter span has no run. */
export const MIN_SPAN_BYTES = HISTORY + LOOKAHEAD + MIN_RUN_BYTES;
/** A site decodes so many blocks for a run at most. */
const BYTES_PER_BLOCK = 256;
/** So many blocks of a base are listed at most, which bounds memory. */
const [FREE_BLOCKS, BYTES_PER_LISTED_BLOCK] = [4096, 1024];
const TOKENS = 8192;

/**
 * Finds the tokens of bases that stay the same in a new gzip stream, because all plain bytes that they depend on do.
 *
 * @param spans in the order of the new bytes
 * @throws {DeflateError} when a base is no gzip stream, or has very many blocks
 */
export async function findCopiedRuns(
  spans: readonly CopiedSpan[],
  { bases, compressed }: CompressedBases,
  signal?: AbortSignal,
): Promise<CopiedRun[]> {
  const runs: CopiedRun[] = [];
  let [plainStart, sizeBefore] = [0, 0];
  for (const { size, plainSize } of bases) {
    const end = plainStart + plainSize;
    const inBase = spans.filter(({ from }) => from >= plainStart && from < end);
    if (inBase.length > 0) {
      const base = selectRanges(compressed, [{ start: sizeBefore, end: sizeBefore + size }]);
      const blocks = await listBlocks(readChunks(openBytes(base)), signal);
      for (const span of inBase) {
        const run = findRun({ ...span, from: span.from - plainStart }, blocks);
        if (run !== undefined) runs.push({ ...run, bit: 8 * sizeBefore + run.bit });
      }
    }
    plainStart = end;
    sizeBefore += size;
  }
  return runs.sort((a, b) => a.start - b.start);
}

/**
 * Finds what is left of spans of selected bytes where those are all bytes: a span is cut where something was left out.
 * Both are in order.
 */
export function unselectSpans(spans: readonly CopiedSpan[], ranges: readonly BaseRange[]): CopiedSpan[] {
  const cut: CopiedSpan[] = [];
  let [i, before] = [0, 0];
  for (const { start, length, from } of spans) {
    for (let at = start; at < start + length;) {
      const range = ranges[i]!;
      const size = range.end - range.start;
      if (at >= before + size) {
        before += size;
        i++;
        continue;
      }
      const end = Math.min(start + length, before + size);
      cut.push({ start: range.start + at - before, length: end - at, from: from + at - start });
      at = end;
    }
  }
  return cut;
}

/** Where blocks start: their first bits, and their positions among the plain bytes. */
interface BlockList {
  readonly bits: readonly number[];
  readonly starts: readonly number[];
}

function findRun({ start, length, from }: CopiedSpan, { bits, starts }: BlockList): CopiedRun | undefined {
  if (starts.length === 0) return undefined;
  const first = from + HISTORY;
  const block = lastNotAfter(starts, first);
  const run = {
    start: start + HISTORY,
    end: start + length - LOOKAHEAD,
    bit: bits[block]!,
    before: first - starts[block]!,
  };
  const size = run.end - run.start;
  const blocks = lastNotAfter(starts, first + size) - block;
  const isWorthIt = size >= MIN_RUN_BYTES && run.before <= MAX_BEFORE_RATIO * size && blocks * BYTES_PER_BLOCK <= size;
  return isWorthIt ? run : undefined;
}

function lastNotAfter(starts: readonly number[], position: number): number {
  let [low, high] = [0, starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= position) low = middle;
    else high = middle;
  }
  return low;
}

async function listBlocks(source: AsyncIterator<Uint8Array>, signal: AbortSignal | undefined): Promise<BlockList> {
  const [bits, starts]: [number[], number[]] = [[], []];
  const window = new MemberWindow({ history: 0, lookahead: 0 });
  const decoded = new DecodedBlocks(TOKENS);
  const turns = new Turns();
  const reader = new GzipReader(source, window, decoded);
  try {
    for (let before = 0; await reader.hasMember(); before += window.origin + window.length) {
      await reader.openMember();
      window.reset();
      for (let isEnd = false; !isEnd;) {
        signal?.throwIfAborted();
        await turns.next();
        const start = before + window.origin + window.length;
        isEnd = await reader.decode();
        if (starts.length > FREE_BLOCKS + start / BYTES_PER_LISTED_BLOCK) {
          throw new DeflateError(cannot("copy tokens", "a base has too many blocks"));
        }
        for (const { bit } of decoded.blocks.splice(0)) {
          bits.push(bit);
          starts.push(start);
        }
        decoded.head = decoded.tail;
        window.at = window.length;
        window.slide();
      }
      await reader.closeMember();
    }
  } finally {
    reader.free();
    free(window.bytes);
    free(decoded.tokens);
    await source.return?.();
  }
  return { bits, starts };
}
