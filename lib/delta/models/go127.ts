import { KlauspostCompressor } from "./klauspost_compressor.ts";
import type { DeflateModel } from "./model.ts";
import { PART_HISTORY, PART_LOOKAHEAD, PartPredictor } from "./part_predictor.ts";
import { cannot, CorruptError } from "../../oci/error.ts";

const STYLE = { endSkip: 2, searchesSmall: false, flushes: false, fullHeaders: false, symbolsFirst: false } as const;

/**
 * Go's compress/flate from Go 1.27 on, whose encoders come from klauspost/compress. The parameter is the level: 6 (the
 * default), 1 (`BestSpeed`), or 5, which is tried as one of `klauspost5`. Version 1 is frozen: other predictions need another version.
 */
export const GO127: DeflateModel = {
  id: "go127",
  version: 1,
  history: PART_HISTORY,
  lookahead: PART_LOOKAHEAD,
  parameterSets: () => [Uint8Array.of(6), Uint8Array.of(1)],
  start(parameters, window) {
    const [level] = parameters;
    if (parameters.length !== 1 || (level !== 1 && level !== 5 && level !== 6)) {
      throw new CorruptError(cannot("use the model go127", "its level is unknown"));
    }
    return new PartPredictor(new KlauspostCompressor({ ...STYLE, level }, window.bytes), { window });
  },
};
