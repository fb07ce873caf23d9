import { readBounded } from "../bytes/read_bounded.ts";
import type { OpenScratch, ReadableBytes } from "../bytes/scratch.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { CopiedTokens } from "./copied_tokens.ts";
import {
  type DeltaHeader,
  hasMagic,
  INNER_SECTIONS,
  parseDeltaHeader,
  parseDeltaPrefix,
  PREFIX_BYTES,
  SECTIONS,
  sizeOfSections,
} from "./delta_format.ts";
import { readSection } from "./delta_sections.ts";
import { insertStreams } from "./inner_gzip.ts";
import { modelById } from "./models/all.ts";
import type { DeflateModel } from "./models/model.ts";
import { openInner } from "./open_inner.ts";
import { applyOperations } from "./operations.ts";
import { type DeltaFile, PartReader } from "./part_reader.ts";
import { rebuildGzip } from "./rebuild_gzip.ts";
import { parseCopiedRuns } from "./copied_runs.ts";

/** Options of `rebuildLayer`. */
interface RebuildLayerOptions {
  /** Opens space for the plain bytes of inner streams of the bases. */
  readonly openScratch: OpenScratch;
  /** The compressed bytes of all bases, one after the other; only needed for copied tokens. */
  readonly compressed?: ReadableBytes | undefined;
  /** Finds a compressor model; default: those of this program. */
  readonly findModel?: (id: string, version: number) => DeflateModel | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tests whether a file begins like a delta of any version. */
export async function beginsLikeDelta(file: DeltaFile): Promise<boolean> {
  if (file.size < PREFIX_BYTES) return false;
  return hasMagic(await readBounded(await file.open(0, PREFIX_BYTES), "the delta", PREFIX_BYTES));
}

/** Reads the header of a delta. @throws {CorruptError} when the file is not a delta, or its header is wrong */
export async function readDeltaHeader(file: DeltaFile): Promise<DeltaHeader> {
  if (file.size < PREFIX_BYTES) throw new CorruptError(cannot("apply the delta", "it is too short"));
  const prefix = await readBounded(await file.open(0, PREFIX_BYTES), "the delta", PREFIX_BYTES);
  const length = parseDeltaPrefix(prefix);
  if (length === 0 || PREFIX_BYTES + length > file.size) {
    throw new CorruptError(cannot("apply the delta", "it ends before its header does"));
  }
  return parseDeltaHeader(await readBounded(await file.open(PREFIX_BYTES, length), "the delta", length), file.size);
}

/**
 * Rebuilds the compressed bytes of a layer. A wrong delta gives other bytes, or an error: the digest of what comes out
 * must be checked. A piece is only valid until the next one is asked for.
 *
 * @param bases the plain bytes of all bases of the delta, one after the other
 * @throws {CorruptError} when the delta is damaged or contradicts itself
 */
export async function* rebuildLayer(
  file: DeltaFile,
  bases: ReadableBytes,
  { openScratch, compressed, findModel = modelById, signal }: RebuildLayerOptions,
): AsyncGenerator<Uint8Array> {
  const header = await readDeltaHeader(file);
  const { plainSize, inner } = header;
  const innerEnd = file.size - (header.copied?.packed ?? 0);
  const end = innerEnd - (inner === undefined ? 0 : sizeOfSections(inner.sections));
  const outer = new PartReader({ file, part: header, names: SECTIONS, end });
  const reader = inner && new PartReader({ file, part: inner, names: INNER_SECTIONS, end: innerEnd });
  using innerBases = inner && await openScratch();
  try {
    const recipe = await outer.readRecipe();
    const streams = reader && await openInner(reader, { header, bases, innerBases: innerBases! });
    const made = applyOperations({
      streams: await outer.openOperations(),
      bases,
      plainSize: plainSize - (streams?.size ?? 0),
    });
    const plain = streams === undefined ? made : insertStreams(made, {
      places: streams.places,
      gzip: rebuildGzip(streams.plain, streams.recipe, { findModel, signal }),
    });
    const copied = await readCopied(file, { header, compressed });
    let left = header.target.size;
    for await (const piece of rebuildGzip(plain, recipe, { findModel, copied, signal })) {
      left -= piece.length;
      if (left < 0) throw new CorruptError(cannot("apply the delta", "it makes too many bytes"));
      yield piece;
    }
  } finally {
    await outer.cancel();
    await reader?.cancel();
  }
}

async function readCopied(
  file: DeltaFile,
  { header, compressed }: { readonly header: DeltaHeader; readonly compressed: ReadableBytes | undefined },
): Promise<CopiedTokens | undefined> {
  const { copied, plainSize, bases } = header;
  if (copied === undefined || copied.size === 0) return undefined;
  if (compressed === undefined) throw new Error("the compressed bytes of the bases are missing");
  const section = await readSection(await file.open(file.size - copied.packed, copied.packed), copied);
  const size = bases.reduce((sum, base) => sum + base.size, 0);
  return new CopiedTokens({ runs: parseCopiedRuns(section, { plainSize, size }), compressed });
}
