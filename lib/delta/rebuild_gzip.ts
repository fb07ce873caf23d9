import type { CopiedTokens } from "./copied_tokens.ts";
import { type GzipRecipe, MAX_PARAMETERS, RECIPE_LIMITS, type RecipeLimits } from "./gzip_recipe.ts";
import type { DeflateModel } from "./models/model.ts";
import { StreamRebuilder } from "./stream_rebuilder.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** How a stream is rebuilt. */
interface RebuildOptions {
  /** Finds the model (`modelById`). */
  readonly findModel: (id: string, version: number) => DeflateModel | undefined;
  /** Tokens that are predicted without the model. */
  readonly copied?: CopiedTokens | undefined;
  /** `RECIPE_LIMITS` unless given. */
  readonly limits?: RecipeLimits;
  readonly signal?: AbortSignal;
}

/**
 * Rebuilds the bytes of a gzip stream. A wrong recipe gives other bytes, or an error: the digest of what comes out
 * must be checked. A piece is only valid until the next one is asked for.
 *
 * @throws {CorruptError} when the recipe contradicts itself or the plain bytes, exceeds the limits, or names a model
 *   that is not known
 */
export async function* rebuildGzip(
  plain: AsyncIterable<Uint8Array>,
  recipe: GzipRecipe,
  { findModel, copied, limits = RECIPE_LIMITS, signal }: RebuildOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const source = plain[Symbol.asyncIterator]();
  try {
    const { id, version, parameters } = recipe.model;
    const model = findModel(id, version);
    if (model === undefined) {
      throw new CorruptError(cannot("rebuild the gzip stream", `the model ${id}/${version} is unknown`));
    }
    if (parameters.length > MAX_PARAMETERS) throw new CorruptError(cannot("use a model", "it has too many parameters"));
    if (copied !== undefined && model.isLocal?.(parameters) !== true) {
      throw new CorruptError(cannot("rebuild the gzip stream", `the model ${id}/${version} cannot pass over tokens`));
    }
    for await (const chunk of new StreamRebuilder({ model, recipe, limits, copied }).rebuild(source)) {
      signal?.throwIfAborted();
      if (chunk.length > 0) yield chunk;
    }
  } finally {
    await copied?.close();
    await source.return?.();
  }
}
