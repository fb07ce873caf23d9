import { KLAUSPOST_HISTORY, KLAUSPOST_LOOKAHEAD, KlauspostPredictor } from "./klauspost_predictor.ts";
import { type DeflateModel, RecipeError } from "./model.ts";

/**
 * Go's compress/flate from Go 1.27 on, whose encoders come from klauspost/compress. The parameter is the level: 6 (the
 * default) or 5. Version 1 is frozen: other predictions need another version.
 */
export const GO127: DeflateModel = {
  id: "go127",
  version: 1,
  history: KLAUSPOST_HISTORY,
  lookahead: KLAUSPOST_LOOKAHEAD,
  parameterSets: () => [6, 5].map((level) => Uint8Array.of(level)),
  start(parameters, window) {
    const [level] = parameters;
    if (parameters.length !== 1 || (level !== 5 && level !== 6)) {
      throw new RecipeError("Cannot use the model go127: its level is unknown");
    }
    const variant = { searchesEnds: true, searchesSmall: false, fullHeaders: false, symbolsFirst: false, chunk: 0 };
    return new KlauspostPredictor({ ...variant, level }, window);
  },
};
