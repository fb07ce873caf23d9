import {
  KLAUSPOST_HISTORY,
  KLAUSPOST_LOOKAHEAD,
  KlauspostPredictor,
  type KlauspostVariant,
} from "./klauspost_predictor.ts";
import { type DeflateModel, RecipeError } from "./model.ts";

/** pgzip's chunks, unless a program asks for others. The parameter counts units of 64 KiB. */
const PGZIP_CHUNK = 16;
const CHUNK_UNIT = 65_536;

/** What changed with versions of klauspost/compress; the index is the parameter. */
const GENERATIONS: readonly Omit<KlauspostVariant, "level" | "chunk">[] = [
  // Up to 1.15.9.
  { searchesEnds: false, searchesSmall: false, fullHeaders: true, symbolsFirst: false },
  // 1.15.10 to 1.18.0.
  { searchesEnds: true, searchesSmall: false, fullHeaders: true, symbolsFirst: false },
  // 1.18.1 to 1.20.3.
  { searchesEnds: true, searchesSmall: false, fullHeaders: false, symbolsFirst: false },
  // From 1.20.4 on.
  { searchesEnds: true, searchesSmall: true, fullHeaders: false, symbolsFirst: true },
];

/**
 * klauspost/compress at its levels 5 (the default) and 6, alone or inside of pgzip, which podman, buildah and skopeo use.
 * The parameters are the level, the chunk of pgzip in units of 64 KiB (0: alone), and the generation. Version 1 is
 * frozen: other predictions need another version.
 */
export const KLAUSPOST5: DeflateModel = {
  id: "klauspost5",
  version: 1,
  history: KLAUSPOST_HISTORY,
  lookahead: KLAUSPOST_LOOKAHEAD,
  parameterSets: () => {
    const generations = [2, 1, 3, 0];
    return [[5, PGZIP_CHUNK], [5, 0], [6, PGZIP_CHUNK], [6, 0]].flatMap(([level, chunk]) =>
      generations.map((generation) => Uint8Array.of(level!, chunk!, generation))
    );
  },
  start(parameters, window) {
    const [level, chunk, generation] = parameters;
    const behaviour = GENERATIONS[generation ?? -1];
    if (parameters.length !== 3 || (level !== 5 && level !== 6) || behaviour === undefined) {
      throw new RecipeError("Cannot use the model klauspost5: its parameters are unknown");
    }
    return new KlauspostPredictor({ ...behaviour, level, chunk: chunk! * CHUNK_UNIT }, window);
  },
};
