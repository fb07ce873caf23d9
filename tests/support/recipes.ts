import { describeGzip, type DescribeOptions } from "../../lib/delta/describe_gzip.ts";
import type { GzipRecipe } from "../../lib/delta/gzip_recipe.ts";
import { modelById, MODELS } from "../../lib/delta/models/all.ts";
import { rebuildGzip } from "../../lib/delta/rebuild_gzip.ts";

/** Bytes as a stream of chunks. */
export async function* inChunks(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
    await Promise.resolve();
  }
}

/** A described stream. */
export interface Described {
  readonly recipe: GzipRecipe | undefined;
  readonly plain: Uint8Array<ArrayBuffer>;
}

/** Describes a gzip stream that is in memory. */
export async function describeBytes(
  gzip: Uint8Array,
  { chunk, ...options }: Partial<DescribeOptions> & { chunk?: number } = {},
): Promise<Described> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const plain = (bytes: Uint8Array<ArrayBuffer>) => void parts.push(bytes);
  const recipe = await describeGzip(inChunks(gzip, chunk), {
    models: MODELS,
    effort: "fast",
    maxCost: 10,
    plain,
    ...options,
  });
  return { recipe, plain: await new Blob(parts).bytes() };
}

/** Rebuilds a stream into memory. */
export async function rebuildBytes(
  plain: Uint8Array,
  recipe: GzipRecipe,
  chunk?: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of rebuildGzip(inChunks(plain, chunk), recipe, { findModel: modelById })) {
    parts.push(part.slice());
  }
  return await new Blob(parts).bytes();
}
