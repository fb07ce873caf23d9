import { Go1Matcher } from "./go1_matcher.ts";
import { GoHeaders } from "./go_headers.ts";
import type { DeflateModel } from "./model.ts";
import { type Part, PART_HISTORY, PART_LOOKAHEAD, type PartCompressor, PartPredictor } from "./part_predictor.ts";
import { cannot, CorruptError } from "../../oci/error.ts";

/** A last part smaller than this is not searched for matches. */
const SMALL = 128;

/**
 * Go's compress/flate up to Go 1.26 at its level 1 (`BestSpeed`), which ko and crane use. There are no parameters.
 * Version 1 is frozen: other predictions need another version.
 */
export const GO1: DeflateModel = {
  id: "go1",
  version: 1,
  history: PART_HISTORY,
  lookahead: PART_LOOKAHEAD,
  parameterSets: () => [new Uint8Array()],
  start(parameters, window) {
    if (parameters.length !== 0) throw new CorruptError(cannot("use the model go1", "it has no parameters"));
    return new PartPredictor(new Go1Compressor(window.bytes), { window });
  },
};

/** Every part is a block of its own. */
class Go1Compressor implements PartCompressor {
  readonly headers = new GoHeaders();
  readonly #matcher: Go1Matcher;

  constructor(bytes: Uint8Array) {
    this.#matcher = new Go1Matcher(bytes);
  }

  get work(): number {
    return this.#matcher.work;
  }

  reset(): void {
    this.#matcher.reset();
  }

  slide(count: number): void {
    this.#matcher.slide(count);
  }

  plan(part: Part): void {
    const { size } = part;
    part.startsBlock = true;
    if (size >= SMALL || !part.isLast) this.#matcher.encode(part, part);
    // Matches that save less than a sixteenth of the tokens are not used.
    if (part.count === 0 || part.count > size - (size >> 4)) part.setLiterals();
  }
}
