import { crc32 } from "node:zlib";
import type { ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { type InnerPart, MAX_INNER_RATIO } from "./delta_format.ts";
import { describeGzip } from "./describe_gzip.ts";
import { type GzipMember, joinStreams } from "./inner_gzip.ts";
import { formatPlaces, type Place } from "./inner_places.ts";
import { findInnerStreams, freeInflated, inflateStream, type InnerStream, MAX_STREAM_BYTES } from "./inner_streams.ts";
import type { DeflateModel } from "./models/model.ts";
import { type OldLayers, SEARCH } from "./old_layers.ts";
import { packCorrections, packOperations, type PackOptions, packRecipe } from "./pack_part.ts";
import { PlainIndex } from "./plain_index.ts";
import { selectRanges } from "./select_ranges.ts";
import type { BaseRange } from "./tar_diff.ts";

/** What inner streams are looked for in. */
interface InnerJob {
  readonly old: OldLayers;
  /** The ranges of the old layers that the new one needs. */
  readonly ranges: readonly BaseRange[];
  /** The plain bytes of the new layer. */
  readonly plain: ReadableBytes;
}

/** Options of `makeInner`. */
interface MakeInnerOptions extends PackOptions {
  readonly models: readonly DeflateModel[];
}

/** The inner streams of a layer as a part of its delta. */
interface MadeInner extends Disposable {
  readonly part: InnerPart;
  /** The sections, one after the other. */
  readonly packed: Scratch;
  /** The plain bytes of the layer without the inner streams, and where they are. */
  readonly rest: ReadableBytes;
  readonly ranges: readonly BaseRange[];
}

/** Inner streams of fewer bytes than this are not worth the work of the site. */
const MIN_BYTES = 2 << 10;
/** Most plain bytes of inner streams, which bounds the memory of their index. */
const MAX_PLAIN_BYTES = 60 << 20;
/** A part that is larger than this share of its streams is not worth it. */
const WORTH_IT = 0.9;

/**
 * Makes the part of a delta for the inner streams that have changed: those whose bytes no old layer has. Old streams with
 * the same names are what they are compared with.
 *
 * @returns `undefined` when there are few, or no compressor model predicts them
 */
export async function makeInner(job: InnerJob, options: MakeInnerOptions): Promise<MadeInner | undefined> {
  const { openScratch, effort, models, signal } = options;
  const found = await findChanged(job, options);
  using plain = await openScratch();
  using oldPlain = await openScratch();
  const limit = (bytes: ReadableBytes) => Math.min(MAX_PLAIN_BYTES, bytes.size * MAX_INNER_RATIO);
  const oldBytes = job.old.select(job.ranges);
  const old = await inflateAll(found.old, oldBytes, { output: oldPlain, limit: limit(oldBytes), signal });
  const changed = await inflateAll(found.changed, job.plain, { output: plain, limit: limit(job.plain), signal });
  const size = changed.reduce((sum, stream) => sum + stream.size, 0);
  if (size < MIN_BYTES || old.length === 0) return undefined;
  const recipe = await describeGzip(joinStreams(readMembers(changed, job.plain)), { models, effort, signal });
  if (recipe === undefined) return undefined;
  using resources = new DisposableStack();
  const packed = resources.use(await openScratch());
  const index = await PlainIndex.build(oldPlain, { ...SEARCH[effort], signal });
  const compared = {
    index,
    ranges: [{ start: 0, end: oldPlain.size }],
    old: oldPlain,
    target: plain,
    onCompared: () => index.free(),
  };
  const operations = await packOperations(compared, packed, options);
  if (operations === undefined) return undefined;
  const { id, version, parameters } = recipe.model;
  const part: InnerPart = {
    plainSize: plain.size,
    basePlainSize: oldPlain.size,
    model: { id, version, parameters: parameters.toHex() },
    sections: {
      ...operations.sections,
      ...await packRecipe(recipe.sections, packed),
      places: await packCorrections(formatPlaces(placesOf(changed).map(({ gap, size }) => ({ gap, size }))), packed),
      basePlaces: await packCorrections(formatPlaces(placesOf(old)), packed),
    },
  };
  if (packed.size >= size * WORTH_IT) return undefined;
  const ranges = rangesBetween(changed, job.plain.size);
  const rest = selectRanges(job.plain, ranges);
  resources.move();
  return { part, packed, ranges, rest, [Symbol.dispose]: () => packed[Symbol.dispose]() };
}

interface FoundStreams {
  readonly changed: readonly InnerStream[];
  readonly old: readonly InnerStream[];
}

async function findChanged({ old, ranges, plain }: InnerJob, { signal }: MakeInnerOptions): Promise<FoundStreams> {
  const streams = await findInnerStreams(plain, { signal });
  if (streams.length === 0) return { changed: [], old: [] };
  const oldStreams = await old.findInnerStreams(ranges, signal);
  const oldHashes = new Set(oldStreams.map(({ hash }) => hash));
  const changed = streams.filter(({ hash }) => !oldHashes.has(hash));
  const hashes = new Set(streams.map(({ hash }) => hash));
  const names = new Set(changed.map(({ name }) => name));
  return { changed, old: oldStreams.filter(({ hash, name }) => !hashes.has(hash) && names.has(name)) };
}

/** An inner stream whose plain bytes were appended to scratch space. */
interface InflatedStream extends InnerStream {
  readonly plainSize: number;
  readonly crc: number;
}

interface InflateTarget {
  readonly output: Scratch;
  /** Most bytes of the output. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

async function inflateAll(
  streams: readonly InnerStream[],
  bytes: ReadableBytes,
  { output, limit, signal }: InflateTarget,
): Promise<InflatedStream[]> {
  const turns = new Turns();
  const inflated: InflatedStream[] = [];
  for (const stream of streams) {
    signal?.throwIfAborted();
    await turns.next();
    const room = limit - output.size;
    if (room <= 0) break;
    const plain = inflateStream(bytes, stream, Math.min(MAX_STREAM_BYTES, room));
    if (plain === undefined) continue;
    output.append(plain);
    inflated.push({ ...stream, plainSize: plain.length, crc: crc32(plain) });
    freeInflated(plain);
  }
  return inflated;
}

function* readMembers(streams: readonly InflatedStream[], bytes: ReadableBytes): Generator<GzipMember> {
  for (const { start, size, crc, plainSize } of streams) {
    const member = new Uint8Array(size);
    bytes.readAt(start, member);
    yield { bytes: member, crc, plainSize };
  }
}

function placesOf(streams: readonly InflatedStream[]): Place[] {
  let end = 0;
  return streams.map(({ start, size, plainSize }) => {
    const gap = start - end;
    end = start + size;
    return { gap, size, plainSize };
  });
}

function rangesBetween(streams: readonly InnerStream[], end: number): BaseRange[] {
  const starts = [0, ...streams.map(({ start, size }) => start + size)];
  return starts.map((start, i) => ({ start, end: streams[i]?.start ?? end })).filter(({ start, end }) => start < end);
}
