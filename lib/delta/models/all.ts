import { COPIED_NAME, INNER_NAME } from "../delta_format.ts";
import { GO1 } from "./go1.ts";
import { GO127 } from "./go127.ts";
import { GO6 } from "./go6.ts";
import { KLAUSPOST5 } from "./klauspost5.ts";
import type { DeflateModel } from "./model.ts";
import { ZLIB } from "./zlib.ts";

/** Every model that this program knows, in the order in which they are tried. */
export const MODELS: readonly DeflateModel[] = [GO6, GO127, KLAUSPOST5, GO1, ZLIB];

/** Finds the model of a recipe. A model of another version is another model. */
export function modelById(id: string, version: number): DeflateModel | undefined {
  return MODELS.find((model) => model.id === id && model.version === version);
}

/**
 * Names for an inventory what this program knows: its models, each as `id/version`, and deltas with inner streams and
 * with copied tokens.
 */
export function modelNames(): string[] {
  return [...MODELS.map(({ id, version }) => `${id}/${version}`), INNER_NAME, COPIED_NAME];
}

/** Tests whether this program knows all that a delta needs. @param names as `namesOfModels` gives them */
export function knowsModels(names: string): boolean {
  const known = modelNames();
  return names.split("+").every((name) => known.includes(name));
}
