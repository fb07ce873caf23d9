import { describeGzip } from "../../lib/delta/describe_gzip.ts";
import { type GzipRecipe, RECIPE_LIMITS } from "../../lib/delta/gzip_recipe.ts";
import { modelById, MODELS } from "../../lib/delta/models/all.ts";
import type { DeflateModel, Effort } from "../../lib/delta/models/model.ts";
import { rebuildGzip } from "../../lib/delta/rebuild_gzip.ts";
import { StreamDescriber } from "../../lib/delta/stream_describer.ts";

/** How one stream was described. */
export interface StreamCheck {
  readonly source: string;
  /** The model and its parameters, or `none`. A stream without a recipe counts as exact: it is carried whole. */
  readonly model: string;
  readonly isExact: boolean;
  /** Nothing was predicted wrongly. */
  readonly isPredicted: boolean;
  readonly tokens: number;
  readonly wrongTokens: number;
  readonly wrongHeaders: number;
  readonly gzipBytes: number;
  readonly recipeBytes: number;
}

/** How a stream is checked. */
export interface CheckOptions {
  readonly source: string;
  readonly effort?: string;
  /** The models that are tried. */
  readonly models?: readonly DeflateModel[];
}

/** Describes a stream, rebuilds it and compares. */
export async function checkStream(
  gzip: Uint8Array,
  { source, effort = "normal", models = MODELS }: CheckOptions,
): Promise<StreamCheck> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const recipe = await describeGzip(inChunks(gzip), {
    models,
    effort: effort as Effort,
    plain: (bytes) => void parts.push(bytes),
  });
  const none = { tokens: 0, wrongTokens: 0, wrongHeaders: 0, recipeBytes: gzip.length };
  if (recipe === undefined) {
    return { source, model: "none", isExact: true, isPredicted: false, gzipBytes: gzip.length, ...none };
  }
  const { id, parameters } = recipe.model;
  const counts = await countWrong(gzip, recipe);
  return {
    source,
    model: `${id} ${parameters.join()}`,
    isExact: await isRebuilt(gzip, { parts, recipe }),
    isPredicted: counts.wrongTokens + counts.wrongHeaders + counts.wrongEnds === 0,
    gzipBytes: gzip.length,
    recipeBytes: Object.values(recipe.sections).reduce((sum, { length }) => sum + length, 0),
    ...counts,
  };
}

async function countWrong(gzip: Uint8Array, { model: { id, version, parameters } }: GzipRecipe) {
  const describer = new StreamDescriber({ model: modelById(id, version)!, parameters, limits: RECIPE_LIMITS });
  await describer.read(inChunks(gzip));
  return describer.counts;
}

async function isRebuilt(
  gzip: Uint8Array,
  { parts, recipe }: { parts: Uint8Array<ArrayBuffer>[]; recipe: GzipRecipe },
): Promise<boolean> {
  let at = 0;
  for await (const part of rebuildGzip(ReadableStream.from(parts), recipe, { findModel: modelById })) {
    if (part.some((byte, index) => byte !== gzip[at + index])) return false;
    at += part.length;
  }
  return at === gzip.length;
}

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) {
    yield bytes.subarray(at, at + 65_536);
    await Promise.resolve();
  }
}
