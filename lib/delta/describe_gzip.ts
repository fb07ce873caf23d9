import { DeflateError } from "./bit_input.ts";
import type { CopiedTokens } from "./copied_tokens.ts";
import { type GzipRecipe, RECIPE_LIMITS, type RecipeLimits } from "./gzip_recipe.ts";
import type { DeflateModel, Effort } from "./models/model.ts";
import { StreamDescriber } from "./stream_describer.ts";

/** A recipe that is larger than this part of its stream says that the model is another compressor's. */
const MAX_COST = 0.5;

/** How a stream is described. */
export interface DescribeOptions {
  /** The models that are tried (`MODELS`). */
  readonly models: readonly DeflateModel[];
  readonly effort: Effort;
  /** The largest recipe that is worth it, as a part of the stream's bytes: `MAX_COST` unless given. */
  readonly maxCost?: number;
  /** `RECIPE_LIMITS` unless given. */
  readonly limits?: RecipeLimits;
  /** Gets all plain bytes in order. The array is the callback's own. */
  readonly plain?: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  /** Tokens that are predicted without a model, if the tokens of the model that is found are local. */
  readonly copied?: CopiedTokens | undefined;
  readonly signal?: AbortSignal;
}

/** A model with its parameters. */
interface Candidate {
  readonly model: DeflateModel;
  readonly parameters: Uint8Array;
}

/**
 * Bytes of the stream that all candidates are tried on, and then the best of them. The first sample exceeds the
 * lookahead of every model: otherwise nothing is predicted. The second one has more than the 1 MiB of a chunk of pgzip.
 */
const SAMPLES = {
  fast: { first: 327_680, second: 1_310_720, finalists: 3 },
  normal: { first: 327_680, second: 1_310_720, finalists: 4 },
  max: { first: 524_288, second: 2_621_440, finalists: 8 },
};
/** Below this, what a recipe always has (such as the header of the member) says nothing about the model. */
const FREE_COST = 256;

/**
 * Reads a gzip stream and describes how its bytes follow from its plain bytes. An unsuitable stream is mostly noticed
 * before `plain` is called, but may be noticed after all of it. A chunk is only used until the next one is asked for.
 *
 * @returns `undefined` when the stream is not gzip, is damaged, or no model predicts it well enough
 */
export async function describeGzip(
  gzip: AsyncIterable<Uint8Array>,
  options: DescribeOptions,
): Promise<GzipRecipe | undefined> {
  const source = gzip[Symbol.asyncIterator]();
  try {
    return await describe(new SampledInput(source, options.signal), options);
  } catch (error) {
    if (error instanceof DeflateError) return undefined;
    throw error;
  } finally {
    await options.copied?.close();
    await source.return?.();
  }
}

async function describe(input: SampledInput, options: DescribeOptions): Promise<GzipRecipe | undefined> {
  const { limits = RECIPE_LIMITS, maxCost = MAX_COST, plain } = options;
  const candidate = await chooseModel(input, options);
  if (candidate === undefined) return undefined;
  const copied = candidate.model.isLocal?.(candidate.parameters) === true ? options.copied : undefined;
  const describer = new StreamDescriber({ ...candidate, limits, plain, copied });
  await describer.read(input.rest());
  if (describer.cost > FREE_COST + input.received * maxCost) return undefined;
  const { model: { id, version }, parameters } = candidate;
  return { model: { id, version, parameters }, plainSize: describer.plainSize, sections: describer.sections };
}

/** Tries every model on the start of a stream, then the best ones on more of it. */
async function chooseModel(input: SampledInput, options: DescribeOptions): Promise<Candidate | undefined> {
  const { first, second, finalists } = SAMPLES[options.effort];
  const { maxCost = MAX_COST } = options;
  let candidates = options.models.flatMap((model) =>
    model.parameterSets(options.effort).map((parameters): Candidate => ({ model, parameters }))
  );
  candidates = await rank(candidates, await input.sample(first), maxCost);
  if (candidates.length > 1 && !input.isComplete) {
    candidates = await rank(candidates.slice(0, finalists), await input.sample(second), maxCost);
  }
  return candidates[0];
}

// The candidates whose recipe of the sample is small enough, the smallest first.
async function rank(candidates: readonly Candidate[], sample: Uint8Array, maxCost: number): Promise<Candidate[]> {
  const ranked: { candidate: Candidate; cost: number }[] = [];
  let best = FREE_COST + sample.length * maxCost;
  for (const candidate of candidates) {
    const cost = await measureCost(candidate, sample, best);
    if (cost < best) ranked.push({ candidate, cost });
    // A candidate that is far worse than the best one is given up early.
    best = Math.min(best, FREE_COST + 2 * cost);
  }
  return ranked.sort((a, b) => a.cost - b.cost).map(({ candidate }) => candidate);
}

async function measureCost(candidate: Candidate, sample: Uint8Array, limit: number): Promise<number> {
  const limits = { sectionBytes: limit, plainBytes: RECIPE_LIMITS.plainBytes };
  const describer = new StreamDescriber({ ...candidate, limits });
  try {
    await describer.read(oneChunk(sample));
  } catch (error) {
    // The sample is a cut stream.
    if (!(error instanceof DeflateError)) throw error;
  }
  return describer.cost;
}

async function* oneChunk(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk;
}

/** A stream whose start can be looked at before it is read. */
class SampledInput {
  /** The bytes received so far. */
  received = 0;
  /** `true` when the sample was the whole stream. */
  isComplete = false;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  #sample: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterator<Uint8Array>, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  /** @returns the first bytes: at least `count`, or all */
  async sample(count: number): Promise<Uint8Array> {
    const chunks = [this.#sample];
    let chunk;
    while (this.received < count && (chunk = await this.#next()) !== undefined) chunks.push(chunk.slice());
    this.#sample = await new Blob(chunks as Uint8Array<ArrayBuffer>[]).bytes();
    return this.#sample;
  }

  /** Reads the stream from its start. */
  async *rest(): AsyncGenerator<Uint8Array> {
    yield this.#sample;
    this.#sample = new Uint8Array();
    for (let chunk; (chunk = await this.#next()) !== undefined;) yield chunk;
  }

  async #next(): Promise<Uint8Array | undefined> {
    this.#signal?.throwIfAborted();
    const { done, value } = await this.#source.next();
    if (done) {
      this.isComplete = true;
      return undefined;
    }
    this.received += value.length;
    return value;
  }
}
