import { free } from "../bytes/lent_chunks.ts";
import { pause } from "../bytes/pause.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import type { PlainIndex } from "./plain_index.ts";
import { findSimilar } from "./similar_bytes.ts";

/** Receives the operations that make the new bytes out of the old ones, in order. */
export interface DiffSink {
  /** New bytes that the old ones do not have. The array is only valid during the call. */
  insert(bytes: Uint8Array): void;
  /** A range of the old bytes. */
  copy(position: number, length: number): void;
}

/** A range of the old bytes: those of one base. */
export interface BaseRange {
  readonly start: number;
  readonly end: number;
}

/** Options of `diffPlain`. */
interface DiffOptions {
  /** The ranges of the old bytes that may be copied, in order; a copy never crosses an end. */
  readonly ranges: readonly BaseRange[];
  /** Called with the number of new bytes that were compared. */
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const WINDOW_BYTES = 8 << 20;
/** Bytes before the current one that a match may extend back to, over the end of a window. */
const KEPT_BYTES = 1 << 20;
/** So far behind a copy, the same distance is tried first: most changes replace bytes. */
const SAME_DISTANCE_BYTES = 512;
const SAME_DISTANCE_MATCH = 8;
/** A shorter match at another distance must have so many more equal bytes than the same distance. */
const COMPARED_BYTES = 512;
const BETTER_BYTES = 6;
const PAUSE_BYTES = 1 << 20;

/**
 * Finds the ranges of new bytes that occur among old ones, wherever they moved to. The new bytes are read once, from
 * their start to their end.
 */
export async function diffPlain(
  index: PlainIndex,
  target: ReadableBytes,
  options: DiffOptions & { readonly sink: DiffSink },
): Promise<void> {
  const differ = new Differ(index, options);
  const buffer = new Uint8Array(WINDOW_BYTES);
  try {
    for (let start = 0; start < target.size;) {
      const window = buffer.subarray(0, target.readAt(start, buffer));
      const isLast = start + window.length >= target.size;
      let at = 0;
      for (let stop = 0; stop < window.length;) {
        options.signal?.throwIfAborted();
        stop = Math.min(window.length, stop + PAUSE_BYTES);
        at = differ.run(window, at, stop);
        await pause(0);
      }
      const done = differ.endWindow(window, isLast);
      options.onBytes?.(done);
      start += done;
    }
  } finally {
    free(buffer);
    index.bytes.free();
  }
}

class Differ {
  readonly #index: PlainIndex;
  readonly #ranges: readonly BaseRange[];
  readonly #sink: DiffSink;
  /** In the window: the first byte that was not written yet. */
  #from = 0;
  /** The old position that would follow the last copy, and the range that it lies in. */
  #expected = -1;
  #range: BaseRange | undefined;
  /** The range of the last copy that was written. */
  #copied: BaseRange | undefined;
  /** In the window: the byte that is compared next. */
  #at = 0;

  constructor(index: PlainIndex, { ranges, sink }: DiffOptions & { readonly sink: DiffSink }) {
    this.#index = index;
    this.#ranges = ranges;
    this.#sink = sink;
  }

  /** Compares the window from `start`; returns where to go on, which may be behind `stop`. */
  run(window: Uint8Array, start: number, stop: number): number {
    const index = this.#index;
    const last = window.length - index.window;
    let at = Math.max(start, this.#at);
    let hash = 0;
    let hashedAt = -1;
    while (at < stop && at <= last) {
      if (this.#isSameDistance(window, at)) {
        at = this.#copy(window, at, this.#expected + (at - this.#from));
        continue;
      }
      if (hashedAt !== at) hash = index.hash(window, at);
      const found = index.find(hash);
      if (found >= 0) {
        const range = this.#rangeOf(found);
        if (range !== undefined && this.#matches(found, range, window.subarray(at, at + index.window))) {
          const skipped = this.#countEquallyGood(window, at, { start: found, end: range.end });
          if (skipped > 0) {
            at += skipped;
            continue;
          }
          this.#range = range;
          at = this.#copy(window, at, found);
          continue;
        }
      }
      if (at < last) hash = index.roll(hash, window[at]!, window[at + index.window]!);
      hashedAt = ++at;
    }
    return this.#at = at;
  }

  /** Writes what is certain of the window; returns where the next one begins. */
  endWindow(window: Uint8Array, isLast: boolean): number {
    const end = isLast ? window.length : Math.max(this.#from, this.#at - KEPT_BYTES);
    if (end > this.#from) {
      this.#sink.insert(window.subarray(this.#from, end));
      if (this.#expected >= 0) this.#expected += end - this.#from;
    }
    this.#at -= end;
    this.#from = 0;
    return end;
  }

  #isSameDistance(window: Uint8Array, at: number): boolean {
    const range = this.#range;
    if (range === undefined || at - this.#from > SAME_DISTANCE_BYTES) return false;
    const position = this.#expected + (at - this.#from);
    if (position + SAME_DISTANCE_MATCH > range.end || this.#index.bytes.at(position) !== window[at]) return false;
    return this.#matches(position, range, window.subarray(at, at + SAME_DISTANCE_MATCH));
  }

  #matches(position: number, range: BaseRange, bytes: Uint8Array): boolean {
    return this.#index.bytes.matchForward(position, range.end, bytes) === bytes.length;
  }

  // Extends the match both ways, and returns the position in the window behind it.
  #copy(window: Uint8Array, at: number, position: number): number {
    const { start, end } = this.#range!;
    const { bytes } = this.#index;
    const before = bytes.matchBackward(position, start, window.subarray(this.#from, at));
    const length = bytes.matchForward(position, end, window.subarray(at));
    if (at - before > this.#from) this.#writeGap(window.subarray(this.#from, at - before), position - before, start);
    this.#sink.copy(position - before, before + length);
    this.#copied = this.#range;
    this.#from = at + length;
    this.#expected = position + length;
    return this.#from;
  }

  // Writes what is new before a copy. Its ends may be like the old bytes around the copies.
  #writeGap(gap: Uint8Array, position: number, start: number): void {
    const [sink, { bytes }, expected] = [this.#sink, this.#index, this.#expected];
    if (expected >= 0 && expected + gap.length === position) return sink.insert(gap);
    const before = expected < 0 ? undefined : { bytes, position: expected, limit: this.#copied!.end };
    const { forward, backward } = findSimilar(gap, before, { bytes, position, limit: start });
    const ending = forward === 0 ? 0 : bytes.matchBackward(expected + forward, expected, gap.subarray(0, forward));
    const last = gap.length - backward;
    const beginning = backward === 0 ? 0 : bytes.matchForward(position - backward, position, gap.subarray(last));
    const [middle, end] = [ending === 0 ? 0 : forward, beginning === 0 ? gap.length : last];
    if (ending > 0) {
      if (forward > ending) sink.insert(gap.subarray(0, forward - ending));
      sink.copy(expected + forward - ending, ending);
    }
    if (end > middle) sink.insert(gap.subarray(middle, end));
    if (beginning > 0) {
      sink.copy(position - backward, beginning);
      if (backward > beginning) sink.insert(gap.subarray(last + beginning));
    }
  }

  // The length of a match that is hardly better than the old bytes at the same distance, which cost less; 0 for a better one.
  #countEquallyGood(window: Uint8Array, at: number, match: BaseRange): number {
    const range = this.#range;
    if (range === undefined || at - this.#from > SAME_DISTANCE_BYTES) return 0;
    const { bytes } = this.#index;
    const position = this.#expected + (at - this.#from);
    const length = bytes.matchForward(match.start, match.end, window.subarray(at, at + COMPARED_BYTES));
    if (length === COMPARED_BYTES || position + length > range.end) return 0;
    let equal = 0;
    for (let i = 0; i < length; i++) if (bytes.at(position + i) === window[at + i]) equal++;
    return length <= equal + BETTER_BYTES ? length : 0;
  }

  #rangeOf(position: number): BaseRange | undefined {
    return this.#ranges.find(({ start, end }) => position >= start && position < end);
  }
}
