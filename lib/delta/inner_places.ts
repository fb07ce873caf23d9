import { MAX_STREAM_BYTES, MIN_STREAM_BYTES } from "./inner_streams.ts";
import { SectionReader, SectionWriter } from "./section_bytes.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** The place of an inner stream: the bytes between it and the one before, and its size. */
export interface Place {
  readonly gap: number;
  readonly size: number;
}

/** The place of an inner stream of the bases, with the number of its plain bytes. */
export interface BasePlace extends Place {
  readonly plainSize: number;
}

/** Writes the section `places`. */
export function formatPlaces(places: readonly Place[]): Uint8Array {
  const writer = new SectionWriter();
  for (const { gap, size } of places) {
    writer.number(gap);
    writer.number(size);
  }
  return writer.finish();
}

/** Writes the section `basePlaces`. */
export function formatBasePlaces(places: readonly BasePlace[]): Uint8Array {
  const writer = new SectionWriter();
  for (const { gap, size, plainSize } of places) {
    writer.number(gap);
    writer.number(size);
    writer.number(plainSize);
  }
  return writer.finish();
}

/**
 * Reads the places of inner streams in the order in which they follow each other.
 *
 * @param room the bytes that all gaps and streams may have together
 * @throws {CorruptError} from the iterator, when they have more, or the section is cut
 */
export function* parsePlaces(section: Uint8Array, room: number): Generator<Place> {
  const reader = new SectionReader(section, "places");
  for (let left = room; reader.left > 0;) {
    const gap = reader.number(left);
    const size = readSize(reader, left - gap);
    left -= gap + size;
    yield { gap, size };
  }
}

/** As `parsePlaces`, for the section `basePlaces`. @param limit the plain bytes of all of them */
export function* parseBasePlaces(section: Uint8Array, room: number, limit: number): Generator<BasePlace> {
  const reader = new SectionReader(section, "basePlaces");
  for (let [left, plainLeft] = [room, limit]; reader.left > 0;) {
    const gap = reader.number(left);
    const size = readSize(reader, left - gap);
    const plainSize = reader.number(Math.min(plainLeft, MAX_STREAM_BYTES));
    left -= gap + size;
    plainLeft -= plainSize;
    yield { gap, size, plainSize };
  }
}

// Small streams would be more work than their bytes allow, large ones need more memory.
function readSize(reader: SectionReader, room: number): number {
  const size = reader.number(Math.min(room, MAX_STREAM_BYTES));
  if (size < MIN_STREAM_BYTES) throw new CorruptError(cannot("read the places of inner streams", "one is too small"));
  return size;
}
