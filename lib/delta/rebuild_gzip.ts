import type { GzipRecipe, RebuildOptions } from "./gzip_recipe.ts";
import { RecipeError } from "./models/model.ts";

/**
 * Rebuilds the bytes of a gzip stream. A wrong recipe gives other bytes, or an error: the digest of what comes out
 * must be checked.
 *
 * @throws {RecipeError} when the recipe contradicts itself or the plain bytes, exceeds the limits, or names a model
 *   that is not known
 */
// deno-lint-ignore require-yield
export async function* rebuildGzip(
  _plain: AsyncIterable<Uint8Array>,
  recipe: GzipRecipe,
  { findModel }: RebuildOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (findModel(recipe.model.id, recipe.model.version) === undefined) throw new RecipeError("unknown model");
  await Promise.resolve();
}
