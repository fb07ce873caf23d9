import { createHash } from "node:crypto";
import { type ByteSource, openByteSource, streamBytes } from "../bytes/byte_reader.ts";
import { returnUsedChunks } from "../bytes/lent_chunks.ts";
import type { OpenScratch, Scratch } from "../bytes/scratch.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { rebuildLayer } from "./apply_delta.ts";
import { type DeltaHeader, formatDeltaHeader } from "./delta_format.ts";
import { openScratch as openScratchSource } from "./delta_sections.ts";
import { describeGzip } from "./describe_gzip.ts";
import type { GzipRecipe } from "./gzip_recipe.ts";
import { inflateLayer, type LayerInput } from "./inflate_layers.ts";
import { makeInner } from "./make_inner.ts";
import { MODELS } from "./models/all.ts";
import type { DeflateModel, Effort } from "./models/model.ts";
import type { OldLayers } from "./old_layers.ts";
import { packOperations, packRecipe } from "./pack_part.ts";
import type { DeltaFile } from "./part_reader.ts";
import { type BaseRange, diffPlain } from "./tar_diff.ts";

/** Options of `makeDelta`. */
export interface MakeDeltaOptions {
  readonly openScratch: OpenScratch;
  readonly effort: Effort;
  /** The compressor models that the site knows; default: all of this program. */
  readonly models?: readonly DeflateModel[];
  /** Whether the site knows deltas with inner streams; default: yes. */
  readonly isInnerKnown?: boolean;
  /** Called with the number of plain bytes that were processed; the whole is about four times the layer's. */
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A delta that was verified: it rebuilds its layer. */
export interface MadeDelta extends Disposable {
  readonly digest: Digest;
  readonly header: DeltaHeader;
  readonly file: DeltaFile;
}

/** Why there is no delta, as the end of a sentence: `no compressor model predicts it`. */
export interface NoDelta {
  readonly reason: string;
}

/** A delta that is larger than this part of its layer is not worth the time of the site. */
const WORTH_IT = 0.7;
/** A base that gives less than this part of the plain bytes is not needed: it costs the site time and disk space. */
const BASE_SHARE = 1 / 200;
const COPY_BYTES = 1 << 20;

/**
 * Makes a delta of a layer, and verifies it by rebuilding the layer.
 *
 * @returns why there is none: the layer is no gzip of a known compressor, or the delta would not be much smaller
 */
export async function makeDelta(
  old: OldLayers,
  target: LayerInput & { readonly size: number },
  options: MakeDeltaOptions,
): Promise<MadeDelta | NoDelta> {
  const { openScratch, effort, onBytes, signal, models = MODELS, isInnerKnown = true } = options;
  const maxSize = Math.floor(target.size * WORTH_IT);
  using plain = await openScratch();
  using packed = await openScratch();
  await inflateLayer(target, plain, { onBytes, signal });
  const ranges = await chooseRanges(old, plain, options);
  if (ranges.length === 0) return { reason: "it has little in common with the old layers" };
  using inner = isInnerKnown && effort !== "fast"
    ? await makeInner({ old, ranges, plain }, { openScratch, effort, models, signal })
    : undefined;
  const job = { index: old.index, ranges, old: old.select(ranges), target: inner?.rest ?? plain };
  const operations = await packOperations(job, packed, options);
  if (operations === undefined) return { reason: "it has little in common with the old layers" };
  const innerSize = inner?.packed.size ?? 0;
  if (packed.size + innerSize > maxSize) return { reason: "a delta would not be much smaller" };
  const recipe = await describe(target, { models, effort, signal });
  if (recipe === undefined) return { reason: "no compressor model predicts it" };
  const sections = { ...operations, ...await packRecipe(recipe.sections, packed) };
  if (packed.size + innerSize > maxSize) return { reason: "a delta would not be much smaller" };
  const { id, version, parameters } = recipe.model;
  const header: DeltaHeader = {
    target: { digest: target.digest, size: target.size },
    plainSize: recipe.plainSize,
    bases: old.bases.filter((_, i) => ranges.includes(old.ranges[i]!)),
    model: { id, version, parameters: parameters.toHex() },
    sections,
    inner: inner?.part,
  };
  const made = await assemble(header, [packed, ...(inner === undefined ? [] : [inner.packed])], openScratch);
  const problem = await verify(made, old.select(ranges), options);
  if (problem === undefined) return made;
  made[Symbol.dispose]();
  return { reason: `the delta was wrong (${problem})` };
}

// The old layers that the new one really needs, in their order.
async function chooseRanges(
  { index, ranges }: OldLayers,
  plain: Scratch,
  { onBytes, signal }: MakeDeltaOptions,
): Promise<readonly BaseRange[]> {
  if (ranges.length <= 1) return ranges;
  const copied = new Map<BaseRange, number>();
  const sink = {
    insert: () => {},
    copy: (position: number, length: number) => {
      const range = ranges.find(({ end }) => position < end)!;
      copied.set(range, (copied.get(range) ?? 0) + length);
    },
  };
  await diffPlain(index, plain, { ranges, sink, onBytes, signal });
  return ranges.filter((range) => (copied.get(range) ?? 0) > plain.size * BASE_SHARE);
}

async function describe(
  { open }: LayerInput,
  { models, effort, signal }: Required<Pick<MakeDeltaOptions, "models" | "effort">> & { signal?: AbortSignal },
): Promise<GzipRecipe | undefined> {
  const body = await open();
  if (body === undefined) return undefined;
  return await describeGzip(readChunks(returnUsedChunks(openByteSource(body))), { models, effort, signal });
}

async function* readChunks(source: ByteSource): AsyncGenerator<Uint8Array> {
  try {
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
  } finally {
    await source.cancel();
  }
}

async function assemble(
  header: DeltaHeader,
  parts: readonly Scratch[],
  openScratch: OpenScratch,
): Promise<MadeDelta> {
  const bytes = await openScratch();
  const hash = createHash("sha256");
  const append = (piece: Uint8Array) => {
    hash.update(piece);
    bytes.append(piece);
  };
  append(formatDeltaHeader(header));
  for (const source of parts.map((part) => returnUsedChunks(openScratchSource(part)))) {
    for (let piece = await source.read(); piece !== undefined; piece = await source.read()) append(piece);
  }
  return {
    digest: `sha256:${hash.digest("hex")}`,
    header,
    file: fileOf(bytes),
    [Symbol.dispose]: () => bytes[Symbol.dispose](),
  };
}

/** Scratch space as the file of a delta. */
export function fileOf(bytes: Pick<Scratch, "size" | "readAt">): DeltaFile {
  return {
    size: bytes.size,
    open: (start, length) => {
      const range: Pick<Scratch, "size" | "readAt"> = {
        size: length,
        readAt: (position, target) => bytes.readAt(start + position, target.subarray(0, length - position)),
      };
      return Promise.resolve(streamBytes(openScratchSource(range), COPY_BYTES));
    },
  };
}

async function verify(
  { file, header }: MadeDelta,
  bases: Pick<Scratch, "size" | "readAt">,
  { openScratch, onBytes, signal }: MakeDeltaOptions,
): Promise<string | undefined> {
  const { digest, size } = header.target;
  const verifier = new Verifier(digest, size);
  try {
    for await (const piece of rebuildLayer(file, bases, { openScratch, signal })) {
      verifier.update(piece);
      onBytes?.(piece.length);
    }
    verifier.finish();
    return undefined;
  } catch (error) {
    if (error instanceof CorruptError || error instanceof DigestMismatchError) return error.message;
    throw error;
  }
}
