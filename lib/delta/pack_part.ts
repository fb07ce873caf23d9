import type { OpenScratch, ReadableBytes, Scratch } from "../bytes/scratch.ts";
import type { Section, SectionName } from "./delta_format.ts";
import { packSection, scratchOf } from "./delta_sections.ts";
import type { CopiedSpan } from "./find_copied_runs.ts";
import type { RecipeSections } from "./gzip_recipe.ts";
import type { Effort } from "./models/model.ts";
import { OperationWriter, TooManyOperationsError } from "./operation_writer.ts";
import type { PlainIndex } from "./plain_index.ts";
import { type BaseRange, diffPlain } from "./tar_diff.ts";

/** What the operations of a delta are made from. */
interface OperationJob {
  readonly index: PlainIndex;
  /** The ranges of the indexed bytes that may be copied. */
  readonly ranges: readonly BaseRange[];
  /** The bytes of these ranges, one after the other. */
  readonly old: ReadableBytes;
  readonly target: ReadableBytes;
  /** Called when the bytes are compared, before the sections are compressed. The index is not used any more. */
  readonly onCompared?: (() => void) | undefined;
}

/** Options of `packOperations`. */
export interface PackOptions {
  readonly openScratch: OpenScratch;
  readonly effort: Effort;
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** zstd's levels, for operations and literals. The corrections are small, and always get the highest. */
const LEVELS: Readonly<Record<Effort, number>> = { fast: 6, normal: 19, max: 19 };
const CORRECTION_LEVEL = 19;
/** The window of the sections with numbers: 1 MiB. A reader has all windows in memory at once. */
const NUMBERS_WINDOW_LOG = 20;

/** Sections of a delta. */
type Sections<Name extends SectionName> = Record<Name, Section>;

/** Operations that were appended. */
interface PackedOperations {
  readonly sections: Sections<"inserts" | "copies" | "jumps" | "literals" | "differences">;
  /** The long ranges that they copy. */
  readonly spans: readonly CopiedSpan[];
}

/**
 * Compares bytes with old ones, and appends the sections of the operations that make them.
 *
 * @returns `undefined` when there are so many operations that a delta would not be smaller than its layer
 */
export async function packOperations(
  { index, ranges, old, target, onCompared }: OperationJob,
  packed: Scratch,
  { openScratch, effort, onBytes, signal }: PackOptions,
): Promise<PackedOperations | undefined> {
  using literals = await openScratch();
  using differences = await openScratch();
  const writer = new OperationWriter({ ranges, old, literals, differences });
  try {
    await diffPlain(index, target, { ranges, sink: writer, onBytes, signal }).finally(() => onCompared?.());
    const { inserts, copies, jumps } = writer.finish();
    const level = LEVELS[effort];
    const numbers = { level, maxWindowLog: NUMBERS_WINDOW_LOG };
    const sections = {
      inserts: await packSection(scratchOf(inserts), packed, numbers),
      copies: await packSection(scratchOf(copies), packed, numbers),
      jumps: await packSection(scratchOf(jumps), packed, numbers),
      literals: await packSection(literals, packed, { level }),
      differences: await packSection(differences, packed, { level }),
    };
    return { sections, spans: writer.spans };
  } catch (error) {
    if (error instanceof TooManyOperationsError) return undefined;
    throw error;
  }
}

/** Appends the sections of a recipe. */
export async function packRecipe(
  { tokens, blocks, headers, members }: RecipeSections,
  packed: Scratch,
): Promise<Sections<"tokens" | "blocks" | "headers" | "members">> {
  return {
    tokens: await packCorrections(tokens, packed),
    blocks: await packCorrections(blocks, packed),
    headers: await packCorrections(headers, packed),
    members: await packCorrections(members, packed),
  };
}

/** Appends a small section. */
export async function packCorrections(bytes: Uint8Array, packed: Scratch): Promise<Section> {
  return await packSection(scratchOf(bytes), packed, { level: CORRECTION_LEVEL });
}
