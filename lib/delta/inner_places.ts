import { MAX_STREAM_BYTES, MIN_STREAM_BYTES } from "./inner_streams.ts";
import { SectionReader, SectionWriter } from "./section_bytes.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** The place of an inner stream: the bytes between it and the one before, and its size. */
export interface Place {
  readonly gap: number;
  readonly size: number;
  /** The number of its plain bytes. Present for a stream of the bases. */
  readonly plainSize?: number;
}

/** Writes the section `places`, or with plain sizes the section `basePlaces`. */
export function formatPlaces(places: readonly Place[]): Uint8Array {
  const writer = new SectionWriter();
  for (const { gap, size, plainSize } of places) {
    writer.number(gap);
    writer.number(size);
    if (plainSize !== undefined) writer.number(plainSize);
  }
  return writer.finish();
}

/**
 * Reads the places of inner streams in the order in which they follow each other.
 *
 * @param room the bytes that all gaps and streams may have together
 * @param plainRoom in the section `basePlaces`, the plain bytes that all streams may have together
 * @throws {CorruptError} from the iterator, when they have more, or the section is cut
 */
export function* parsePlaces(section: Uint8Array, room: number, plainRoom?: number): Generator<Place> {
  const reader = new SectionReader(section, plainRoom === undefined ? "places" : "basePlaces");
  for (let [left, plainLeft] = [room, plainRoom]; reader.left > 0;) {
    const gap = reader.number(left);
    const size = reader.number(Math.min(left - gap, MAX_STREAM_BYTES));
    // Small streams would be more work than their bytes allow, large ones need more memory.
    if (size < MIN_STREAM_BYTES) throw new CorruptError(cannot("read the places of inner streams", "one is too small"));
    left -= gap + size;
    if (plainLeft === undefined) {
      yield { gap, size };
      continue;
    }
    const plainSize = reader.number(Math.min(plainLeft, MAX_STREAM_BYTES));
    plainLeft -= plainSize;
    yield { gap, size, plainSize };
  }
}
