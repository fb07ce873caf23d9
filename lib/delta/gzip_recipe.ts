/**
 * What is needed, besides the plain bytes, to rebuild a gzip stream exactly: the name of a compressor model, and the
 * differences between its predictions and the stream. `describeGzip` (`describe_gzip.ts`) makes a recipe and
 * `rebuildGzip` (`rebuild_gzip.ts`) uses one; both read streams in bounded memory. The sections are in memory as a
 * whole, and within `RecipeLimits.sectionBytes`. They are not compressed: the format of a delta does that.
 */
export interface GzipRecipe {
  readonly model: RecipeModel;
  /** The plain bytes of all members. */
  readonly plainSize: number;
  readonly sections: RecipeSections;
}

/** The compressor model of a recipe. */
export interface RecipeModel {
  readonly id: string;
  readonly version: number;
  /** At most `MAX_PARAMETERS` bytes. */
  readonly parameters: Uint8Array;
}

/** Each a series of small numbers. docs/delta.md describes them. */
export interface RecipeSections {
  /** Tokens that differ from the predicted ones. */
  readonly tokens: Uint8Array;
  /** Type and end of every block. */
  readonly blocks: Uint8Array;
  /** Dynamic headers that differ from the predicted ones. */
  readonly headers: Uint8Array;
  /** Headers, sizes and trailers of the gzip members, and the bytes after the last one. */
  readonly members: Uint8Array;
}

/** The bytes of a model's parameters, at most. */
export const MAX_PARAMETERS = 64;

/** What a recipe may cost. */
export interface RecipeLimits {
  /** The bytes of all sections together. */
  readonly sectionBytes: number;
  /** The plain bytes of all members. */
  readonly plainBytes: number;
}

/** Room for 100 GiB of plain bytes, and for a memory of 128 MiB on the side that rebuilds. */
export const RECIPE_LIMITS: RecipeLimits = { sectionBytes: 24 * 1024 * 1024, plainBytes: 100 * 1024 ** 3 };
