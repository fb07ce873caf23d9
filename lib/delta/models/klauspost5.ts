import { KlauspostCompressor, type KlauspostStyle } from "./klauspost_compressor.ts";
import type { DeflateModel } from "./model.ts";
import { PART_HISTORY, PART_LOOKAHEAD, PartPredictor } from "./part_predictor.ts";
import { cannot, CorruptError } from "../../oci/error.ts";

/** pgzip's chunks, unless a program asks for others. The parameter counts units of 64 KiB. */
const PGZIP_CHUNK = 16;
const CHUNK_UNIT = 65_536;

/** What changed with versions of klauspost/compress; the index is the parameter. */
const GENERATIONS: readonly Omit<KlauspostStyle, "level" | "flushes">[] = [
  // Up to 1.15.9.
  { endSkip: 0, searchesSmall: false, fullHeaders: true, symbolsFirst: false },
  // 1.15.10 to 1.18.0.
  { endSkip: 2, searchesSmall: false, fullHeaders: true, symbolsFirst: false },
  // 1.18.1 to 1.20.3.
  { endSkip: 2, searchesSmall: false, fullHeaders: false, symbolsFirst: false },
  // From 1.20.4 on.
  { endSkip: 2, searchesSmall: true, fullHeaders: false, symbolsFirst: true },
];

const LIKELY_GENERATIONS = [2, 1, 3, 0];

/**
 * klauspost/compress at its levels 1, 5 (the default) and 6, alone or inside of pgzip, which podman, buildah and skopeo use.
 * The parameters are the level, the chunk of pgzip in units of 64 KiB (0: alone), and the generation. Version 1 is
 * frozen: other predictions need another version.
 */
export const KLAUSPOST5: DeflateModel = {
  id: "klauspost5",
  version: 1,
  history: PART_HISTORY,
  lookahead: PART_LOOKAHEAD,
  parameterSets: (effort) =>
    (effort === "max" ? [5, 6, 1] : [5]).flatMap((level) =>
      [PGZIP_CHUNK, 0].flatMap((chunk) =>
        LIKELY_GENERATIONS.map((generation) => Uint8Array.of(level, chunk, generation))
      )
    ),
  start(parameters, window) {
    const [level, chunk, generation] = parameters;
    const behaviour = GENERATIONS[generation ?? -1];
    if (parameters.length !== 3 || (level !== 1 && level !== 5 && level !== 6) || behaviour === undefined) {
      throw new CorruptError(cannot("use the model klauspost5", "its parameters are unknown"));
    }
    const style: KlauspostStyle = { ...behaviour, level, flushes: chunk! > 0 };
    const source = chunk === 0 ? { window } : { window, chunk: chunk! * CHUNK_UNIT };
    return new PartPredictor(new KlauspostCompressor(style, window.bytes), source);
  },
};
