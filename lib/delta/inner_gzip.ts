import { ByteReader, type ByteSource } from "../bytes/byte_reader.ts";
import { formatTrailer } from "./gzip_reader.ts";
import type { Place } from "./inner_places.ts";
import { wrongDelta } from "./operation_inputs.ts";

/**
 * The inner streams of a layer are described and rebuilt as one gzip stream with a member for each of them, so that all that
 * works for gzip works for them.
 */
export interface GzipMember {
  /** The deflate stream. */
  readonly bytes: Uint8Array;
  /** The checksum and the number of its plain bytes. */
  readonly crc: number;
  readonly plainSize: number;
}

/** The header of each member: deflate, no time, an unknown system (RFC 1952, section 2.3). */
const HEADER = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const TRAILER_BYTES = 8;
const PIECE_BYTES = 256 << 10;

/** Joins deflate streams to a gzip stream. */
export async function* joinStreams(streams: Iterable<GzipMember>): AsyncGenerator<Uint8Array> {
  for (const { bytes, crc, plainSize } of streams) {
    yield HEADER;
    yield bytes;
    yield formatTrailer(crc, plainSize);
  }
}

/** The inputs of `insertStreams`. */
interface InsertedStreams {
  /** Where the deflate streams belong in the bytes. */
  readonly places: Iterable<Place>;
  /** The gzip stream that `joinStreams` made of them. */
  readonly gzip: AsyncIterable<Uint8Array>;
}

/**
 * Inserts deflate streams into the bytes that lack them. A piece is only valid until the next one is asked for, as are those
 * of both inputs.
 *
 * @throws {CorruptError} when there are too few bytes or streams, or too many streams
 */
export async function* insertStreams(
  bytes: AsyncIterable<Uint8Array>,
  { places, gzip }: InsertedStreams,
): AsyncGenerator<Uint8Array> {
  const rest = openPieces(bytes, "the plain bytes of the layer");
  const members = openPieces(gzip, "the inner streams of the layer");
  try {
    for (const { gap, size } of places) {
      yield* take(rest, gap);
      await members.skip(HEADER.length);
      yield* take(members, size);
      await members.skip(TRAILER_BYTES);
    }
    for (let piece; (piece = await rest.read(PIECE_BYTES)) !== undefined;) yield piece;
    if (await members.read(1) !== undefined) throw wrongDelta("it has more inner streams than places for them");
  } finally {
    await rest.cancel();
    await members.cancel();
  }
}

async function* take(reader: ByteReader, length: number): AsyncGenerator<Uint8Array> {
  for (let left = length; left > 0;) {
    const piece = await reader.read(left);
    if (piece === undefined) throw wrongDelta("its inner streams do not fit into the plain bytes");
    left -= piece.length;
    yield piece;
  }
}

function openPieces(pieces: AsyncIterable<Uint8Array>, what: string): ByteReader {
  const iterator = pieces[Symbol.asyncIterator]();
  const source: ByteSource = {
    read: async () => {
      const { done, value } = await iterator.next();
      return done ? undefined : value;
    },
    cancel: async () => {
      await iterator.return?.();
    },
  };
  return new ByteReader(source, what);
}
