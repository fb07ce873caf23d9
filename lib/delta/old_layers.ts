import type { OpenScratch, ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { COPIED_NAME, type DeltaBase } from "./delta_format.ts";
import { inflateLayer, type InflateOptions, type LayerInput } from "./inflate_layers.ts";
import { findInnerStreams, type InnerStream, listBytes, MAX_LIST_BYTES } from "./inner_streams.ts";
import { modelNames } from "./models/all.ts";
import type { Effort } from "./models/model.ts";
import { type IndexSearch, PlainIndex } from "./plain_index.ts";
import { selectRanges } from "./select_ranges.ts";
import type { BaseRange } from "./tar_diff.ts";

/** How many bytes a match is found by, and how far the indexed positions are apart: less in few bytes than in many. */
export const SEARCH: Readonly<Record<Effort, IndexSearch>> = {
  fast: { window: 32, step: 32, leastStep: 32 },
  normal: { window: 20, step: 12, leastStep: 4 },
  max: { window: 20, step: 8, leastStep: 2 },
};

/** Options of `OldLayers.open`. */
interface OldLayersOptions extends InflateOptions {
  readonly openScratch: OpenScratch;
  readonly effort: Effort;
  /** What the site knows; see `MakeDeltaOptions`. */
  readonly known?: ReadonlySet<string>;
}

interface OpenedLayers {
  readonly bytes: Scratch;
  readonly compressed: Scratch | undefined;
  readonly bases: readonly DeltaBase[];
  readonly index: PlainIndex;
}

/** The plain bytes of old layers in scratch space, one after the other, with their index. */
export class OldLayers implements Disposable {
  readonly bases: readonly DeltaBase[];
  /** The place of each base among the plain bytes. */
  readonly ranges: readonly BaseRange[];
  readonly index: PlainIndex;
  readonly #bytes: Scratch;
  readonly #compressed: Scratch | undefined;
  readonly #inner = new Map<BaseRange, readonly InnerStream[]>();
  /** The memory that the streams of further ranges may take, in bytes. */
  #listBytesLeft = MAX_LIST_BYTES;

  private constructor({ bytes, compressed, bases, index }: OpenedLayers) {
    this.#bytes = bytes;
    this.#compressed = compressed;
    this.bases = bases;
    this.index = index;
    let end = 0;
    this.ranges = bases.map(({ plainSize }) => ({ start: end, end: end += plainSize }));
  }

  /** Inflates and indexes layers. @throws {BaseError} when one is missing; {CorruptError} when one is damaged */
  static async open(
    layers: readonly (LayerInput & { readonly size: number })[],
    { openScratch, effort, known = new Set(modelNames()), onBytes, signal }: OldLayersOptions,
  ): Promise<OldLayers> {
    const bytes = await openScratch();
    let compressed: Scratch | undefined;
    try {
      if (effort !== "fast" && known.has(COPIED_NAME)) compressed = await openScratch();
      const bases: DeltaBase[] = [];
      for (const layer of layers) {
        bases.push(await inflateLayer(layer, { scratch: bytes, compressed }, { onBytes, signal }));
      }
      const index = await PlainIndex.build(bytes, { ...SEARCH[effort], signal });
      return new OldLayers({ bytes, compressed, bases, index });
    } catch (error) {
      for (const scratch of [bytes, compressed]) scratch?.[Symbol.dispose]();
      throw error;
    }
  }

  /** The plain bytes of some of the ranges, one after the other. */
  select(ranges: readonly BaseRange[]): ReadableBytes {
    return selectRanges(this.#bytes, ranges);
  }

  /**
   * The compressed bytes of some of the ranges, one after the other; `undefined` if they are not needed, or a layer was
   * not read to its end.
   */
  selectCompressed(ranges: readonly BaseRange[]): ReadableBytes | undefined {
    let end = 0;
    const all = this.bases.map(({ size }) => ({ start: end, end: end += size }));
    if (this.#compressed === undefined || this.#compressed.size !== end) return undefined;
    return selectRanges(this.#compressed, all.filter((_, i) => ranges.includes(this.ranges[i]!)));
  }

  /** Finds the inner streams of some of the ranges. Positions are those of `select`. */
  async findInnerStreams(ranges: readonly BaseRange[], signal?: AbortSignal): Promise<InnerStream[]> {
    const streams: InnerStream[] = [];
    let before = 0;
    for (const range of ranges) {
      const found = this.#inner.get(range) ?? await this.#findIn(range, signal);
      for (const stream of found) streams.push({ ...stream, start: before + stream.start });
      before += range.end - range.start;
    }
    return streams;
  }

  async #findIn(range: BaseRange, signal?: AbortSignal): Promise<readonly InnerStream[]> {
    const found = await findInnerStreams(this.select([range]), { maxListBytes: this.#listBytesLeft, signal });
    this.#listBytesLeft -= listBytes(found);
    this.#inner.set(range, found);
    return found;
  }

  [Symbol.dispose](): void {
    this.index.free();
    for (const scratch of [this.#bytes, this.#compressed]) scratch?.[Symbol.dispose]();
  }
}
