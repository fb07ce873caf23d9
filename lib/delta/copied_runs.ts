import { cannot, CorruptError } from "../oci/error.ts";
import { SectionReader, SectionWriter } from "./section_bytes.ts";

/**
 * A run of tokens that the new gzip stream has from the stream of a base: where its plain bytes are copied, and so are
 * those before and after them that a prediction depends on.
 */
export interface CopiedRun {
  /** The new plain bytes whose tokens these are. */
  readonly start: number;
  readonly end: number;
  /**
   * The first bit of a deflate block of a base, among the compressed bytes of all bases: their streams, one after the
   * other.
   */
  readonly bit: number;
  /** The plain bytes of the block that come before the run. */
  readonly before: number;
}

/** The fewest plain bytes of a run: to find a run takes time. */
export const MIN_RUN_BYTES = 8192;
/** Plain bytes that are decoded for nothing: at most so many for each byte of the run. */
export const MAX_BEFORE_RATIO = 4;

/** Writes the section of token runs, which do not overlap and are in the order of the new bytes. */
export function formatCopiedRuns(runs: readonly CopiedRun[]): Uint8Array {
  const writer = new SectionWriter();
  let [end, bit] = [0, 0];
  for (const run of runs) {
    writer.number(run.start - end);
    writer.number(run.end - run.start);
    writer.number(run.bit >= bit ? 2 * (run.bit - bit) : 2 * (bit - run.bit) - 1);
    writer.number(run.before);
    [end, bit] = [run.end, run.bit];
  }
  return writer.finish();
}

/**
 * Reads the section of token runs.
 *
 * @param plainSize plain bytes of the layer
 * @param size compressed bytes of all bases
 * @throws {CorruptError} from the iterator, when a run is not possible, or the section is cut
 */
export function* parseCopiedRuns(
  section: Uint8Array,
  { plainSize, size }: { readonly plainSize: number; readonly size: number },
): Generator<CopiedRun> {
  const reader = new SectionReader(section, "copied");
  for (let [end, bit] = [0, 0]; reader.left > 0;) {
    const start = end + reader.number(plainSize - end);
    end = start + reader.number(plainSize - start);
    const step = reader.number(16 * size);
    bit += step % 2 === 0 ? step / 2 : -(step + 1) / 2;
    const before = reader.number(MAX_BEFORE_RATIO * (end - start));
    if (end - start < MIN_RUN_BYTES || bit < 0 || bit >= 8 * size) {
      throw new CorruptError(cannot("read the copied tokens", "a run is too short, or no base has it"));
    }
    yield { start, end, bit, before };
  }
}
