import { createHash } from "node:crypto";
import { openByteSource, streamBytes } from "../bytes/byte_reader.ts";
import { returnUsedChunks } from "../bytes/lent_chunks.ts";
import type { OpenScratch, ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { rebuildLayer } from "./apply_delta.ts";
import { DeflateError } from "./bit_input.ts";
import { CopiedTokens } from "./copied_tokens.ts";
import { COPIED_NAME, type DeltaBase, type DeltaHeader, formatDeltaHeader, INNER_NAME } from "./delta_format.ts";
import { openBytes } from "./delta_sections.ts";
import { describeGzip } from "./describe_gzip.ts";
import { type CopiedSpan, findCopiedRuns, unselectSpans } from "./find_copied_runs.ts";
import type { GzipRecipe } from "./gzip_recipe.ts";
import { inflateLayer, type LayerInput, readChunks } from "./inflate_layers.ts";
import { makeInner } from "./make_inner.ts";
import { modelNames, MODELS } from "./models/all.ts";
import type { DeflateModel, Effort } from "./models/model.ts";
import type { OldLayers } from "./old_layers.ts";
import { packCorrections, packOperations, packRecipe } from "./pack_part.ts";
import type { DeltaFile } from "./part_reader.ts";
import { selectRanges } from "./select_ranges.ts";
import { type BaseRange, diffPlain } from "./tar_diff.ts";
import { type CopiedRun, formatCopiedRuns } from "./copied_runs.ts";

/** Options of `makeDelta`. */
export interface MakeDeltaOptions {
  readonly openScratch: OpenScratch;
  readonly effort: Effort;
  /** What the site knows, as its inventory names it; default: all that this program knows. */
  readonly known?: ReadonlySet<string>;
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
const KNOWN: ReadonlySet<string> = new Set(modelNames());

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
  const { openScratch, effort, onBytes, signal, known = KNOWN } = options;
  const models = modelsOf(known);
  const maxSize = Math.floor(target.size * WORTH_IT);
  using plain = await openScratch();
  using packed = await openScratch();
  await inflateLayer(target, { scratch: plain }, { onBytes, signal });
  const ranges = await chooseRanges(old, plain, options);
  if (ranges.length === 0) return { reason: "it has little in common with the old layers" };
  using inner = known.has(INNER_NAME) && effort !== "fast"
    ? await makeInner({ old, ranges, plain }, { openScratch, effort, models, signal })
    : undefined;
  const job = { index: old.index, ranges, old: old.select(ranges), target: inner?.rest ?? plain };
  const operations = await packOperations(job, packed, options);
  if (operations === undefined) return { reason: "it has little in common with the old layers" };
  const innerSize = inner?.packed.size ?? 0;
  if (packed.size + innerSize > maxSize) return { reason: "a delta would not be much smaller" };
  const bases = old.bases.filter((_, i) => ranges.includes(old.ranges[i]!));
  const spans = inner === undefined ? operations.spans : unselectSpans(operations.spans, inner.ranges);
  const compressed = old.selectCompressed(ranges);
  const recipe = await describe({ target, spans, bases, compressed }, options);
  if (recipe === undefined) return { reason: "no compressor model predicts it" };
  using copiedBytes = await openScratch();
  const copied = recipe.runs && await packCorrections(formatCopiedRuns(recipe.runs), copiedBytes);
  const sections = { ...operations.sections, ...await packRecipe(recipe.sections, packed) };
  if (packed.size + innerSize + copiedBytes.size > maxSize) return { reason: "a delta would not be much smaller" };
  const { id, version, parameters } = recipe.model;
  const header: DeltaHeader = {
    target: { digest: target.digest, size: target.size },
    plainSize: recipe.plainSize,
    bases,
    model: { id, version, parameters: parameters.toHex() },
    sections,
    inner: inner?.part,
    copied,
  };
  using resources = new DisposableStack();
  const bytes = resources.use(await openScratch());
  const made = await assemble(header, [packed, ...(inner === undefined ? [] : [inner.packed]), copiedBytes], bytes);
  const problem = await verify(made, { bases: old.select(ranges), compressed }, options);
  if (problem !== undefined) return { reason: `the delta was wrong (${problem})` };
  resources.move();
  return made;
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

function modelsOf(known: ReadonlySet<string>): readonly DeflateModel[] {
  return MODELS.filter(({ id, version }) => known.has(`${id}/${version}`));
}

/** What a layer is described with. */
interface DescribeJob {
  readonly target: LayerInput;
  readonly spans: readonly CopiedSpan[];
  readonly bases: readonly DeltaBase[];
  readonly compressed: ReadableBytes | undefined;
}

/** A recipe, with the tokens that it has from the bases. */
interface CopyingRecipe extends GzipRecipe {
  readonly runs?: readonly CopiedRun[] | undefined;
}

async function describe(job: DescribeJob, options: MakeDeltaOptions): Promise<CopyingRecipe | undefined> {
  const { effort, signal, known = KNOWN } = options;
  const models = modelsOf(known);
  const describeWith = async (copied?: CopiedTokens) => {
    const body = await job.target.open();
    if (body === undefined) return undefined;
    return await describeGzip(readChunks(openByteSource(body)), { models, effort, copied, signal });
  };
  const found = await findCopied(job, options);
  if (found === undefined) return await describeWith();
  const recipe = await describeWith(found.tokens);
  const { counts: { right, wrong }, hasFailed, isWorthIt } = found.tokens;
  if (right + wrong === 0 && !hasFailed) return recipe;
  // Another compressor, or other parameters of it, made the base: the model alone is better.
  if (recipe === undefined || !isWorthIt) return await describeWith();
  return { ...recipe, runs: found.runs };
}

async function findCopied(
  { spans, bases, compressed }: DescribeJob,
  { effort, known = KNOWN, signal }: MakeDeltaOptions,
): Promise<{ readonly runs: readonly CopiedRun[]; readonly tokens: CopiedTokens } | undefined> {
  if (compressed === undefined || !known.has(COPIED_NAME) || effort === "fast") return undefined;
  try {
    const runs = await findCopiedRuns(spans, { bases, compressed }, signal);
    return runs.length === 0 ? undefined : { runs, tokens: new CopiedTokens({ runs, compressed, givesUp: true }) };
  } catch (error) {
    if (error instanceof DeflateError) return undefined;
    throw error;
  }
}

async function assemble(header: DeltaHeader, parts: readonly Scratch[], bytes: Scratch): Promise<MadeDelta> {
  const hash = createHash("sha256");
  const append = (piece: Uint8Array) => {
    hash.update(piece);
    bytes.append(piece);
  };
  append(formatDeltaHeader(header));
  for (const source of parts.map((part) => returnUsedChunks(openBytes(part)))) {
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
export function fileOf(bytes: ReadableBytes): DeltaFile {
  return {
    size: bytes.size,
    open: (start, length) => {
      const range = selectRanges(bytes, [{ start, end: start + length }]);
      return Promise.resolve(streamBytes(openBytes(range), COPY_BYTES));
    },
  };
}

async function verify(
  { file, header }: MadeDelta,
  { bases, compressed }: { readonly bases: ReadableBytes; readonly compressed: ReadableBytes | undefined },
  { openScratch, onBytes, signal }: MakeDeltaOptions,
): Promise<string | undefined> {
  const { digest, size } = header.target;
  const verifier = new Verifier(digest, size);
  try {
    for await (const piece of rebuildLayer(file, bases, { openScratch, compressed, signal })) {
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
