import type { DescribeOptions, GzipRecipe } from "./gzip_recipe.ts";

/**
 * Reads a gzip stream and describes how its bytes follow from its plain bytes.
 *
 * @returns `undefined` when it is not gzip, is damaged, or no model predicts it well enough
 */
export function describeGzip(
  _gzip: AsyncIterable<Uint8Array>,
  _options: DescribeOptions,
): Promise<GzipRecipe | undefined> {
  return Promise.resolve(undefined);
}
