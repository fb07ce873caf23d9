import { free } from "../bytes/lent_chunks.ts";
import {
  type BlockRecord,
  END_COUNT,
  END_EMPTY,
  END_PREDICTED,
  END_SAME_BYTES,
  isExcessive,
  parseBlockRecord,
} from "./block_record.ts";
import { type CopiedTokens, withCopied } from "./copied_tokens.ts";
import { createHeader, DYNAMIC, STORED } from "./decoded_blocks.ts";
import { LONG_258, tokenBytes } from "./deflate_tables.ts";
import { DeflateWriter } from "./deflate_writer.ts";
import type { GzipRecipe, RecipeLimits } from "./gzip_recipe.ts";
import { formatTrailer, MAX_MEMBER_HEADER } from "./gzip_reader.ts";
import { readHeader } from "./header_difference.ts";
import { MemberWindow } from "./member_window.ts";
import type { DeflateModel, TokenPredictor } from "./models/model.ts";
import { PlainInput } from "./plain_input.ts";
import { PredictedBlock, predictStoredLength } from "./predicted_block.ts";
import { SectionReader } from "./section_bytes.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** Bytes that are written before they are given on. */
const OUTPUT_CHUNK = 65_536;
const LONGEST_STORED = 65_535;
const MAX_TOKENS = 1 << 20;

/** What a stream is rebuilt with. */
interface RebuilderOptions {
  readonly model: DeflateModel;
  readonly recipe: GzipRecipe;
  readonly limits: RecipeLimits;
  readonly copied?: CopiedTokens | undefined;
}

/** Rebuilds one gzip stream: the counterpart of `StreamDescriber`, with the same calls of the model. */
export class StreamRebuilder {
  readonly #recipe: GzipRecipe;
  readonly #window: MemberWindow;
  readonly #predictor: TokenPredictor;
  readonly #copied: CopiedTokens | undefined;
  readonly #block: PredictedBlock;
  readonly #storedBlock: PredictedBlock;
  #wasted = 0;
  readonly #header = createHeader();
  readonly #writer = new DeflateWriter();
  readonly #tokens: SectionReader;
  readonly #blocks: SectionReader;
  readonly #headers: SectionReader;
  readonly #members: SectionReader;
  /** Tokens before the next wrong one. */
  #rightTokens = Infinity;
  #lastBytes = 0;
  #blockCount = 0;
  #plainLeft: number;

  constructor({ model, recipe, limits, copied }: RebuilderOptions) {
    const { tokens, blocks, headers, members } = recipe.sections;
    if (tokens.length + blocks.length + headers.length + members.length > limits.sectionBytes) {
      throw new CorruptError(cannot("rebuild the gzip stream", "the recipe is too large"));
    }
    if (recipe.plainSize > limits.plainBytes) {
      throw new CorruptError(cannot("rebuild the gzip stream", "it has too many plain bytes"));
    }
    this.#recipe = recipe;
    this.#window = new MemberWindow(model);
    this.#copied = copied;
    this.#predictor = withCopied(model.start(recipe.model.parameters, this.#window), this.#window, copied);
    this.#block = new PredictedBlock(this.#predictor);
    this.#storedBlock = new PredictedBlock(this.#predictor);
    this.#tokens = new SectionReader(tokens, "tokens");
    this.#blocks = new SectionReader(blocks, "blocks");
    this.#headers = new SectionReader(headers, "headers");
    this.#members = new SectionReader(members, "members");
    this.#plainLeft = recipe.plainSize;
    this.#readGap();
  }

  /** Rebuilds the stream, once. @throws {CorruptError} when the recipe is wrong */
  async *rebuild(source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    try {
      yield* this.#rebuildMembers(source);
    } finally {
      // Of many layers after each other, tens of megabytes would wait for a collection.
      for (const { bytes } of [this.#window, this.#writer]) free(bytes);
      for (const { tokens } of [this.#block, this.#storedBlock]) free(tokens);
    }
  }

  async *#rebuildMembers(source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const plain = new PlainInput(source, this.#window);
    for (let length; (length = this.#members.number(MAX_MEMBER_HEADER)) !== 0;) {
      this.#writer.raw(this.#members.raw(length));
      const size = this.#members.number(this.#plainLeft);
      const padding = this.#members.byte();
      this.#plainLeft -= size;
      plain.begin(size);
      this.#predictor.reset();
      this.#lastBytes = 0;
      yield* this.#rebuildMember(plain);
      this.#writer.pad(padding);
      this.#writer.raw(formatTrailer(plain.crc, size));
    }
    this.#writer.raw(this.#members.raw(this.#members.left));
    await this.#checkEnd(plain);
    yield this.#writer.take();
  }

  async *#rebuildMember(plain: PlainInput): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let isFinal = false; !isFinal;) {
      const record = parseBlockRecord(this.#blocks.byte());
      if (record === undefined) throw new CorruptError(cannot("rebuild a block", "its type is unknown"));
      if (record.type === STORED) await this.#rebuildStored(record, plain);
      else await this.#rebuildTokens(record, plain);
      isFinal = record.isFinal;
      this.#checkWork();
      if (this.#writer.length >= OUTPUT_CHUNK) yield this.#writer.take();
    }
    if (!plain.isAtEnd) throw new CorruptError(cannot("rebuild the gzip stream", "plain bytes are left"));
  }

  async #rebuildTokens(record: BlockRecord, plain: PlainInput): Promise<void> {
    const [block, { isFinal }] = [this.#block, record];
    block.begin(this.#window.position);
    const count = record.end === END_COUNT ? this.#blocks.number(MAX_TOKENS) : Infinity;
    if (record.end !== END_EMPTY) {
      do await this.#ready(plain); while (!this.#addTokens(record, count));
      this.#lastBytes = block.bytes;
    }
    if (record.type !== DYNAMIC) return this.#writer.tokenBlock(block, { isFinal });
    const input = record.hasHeader ? this.#headers : undefined;
    readHeader({ style: this.#predictor.headers, block, header: this.#header }, input);
    this.#writer.tokenBlock(block, { isFinal, header: this.#header });
  }

  // Adds the tokens that can be predicted with the plain bytes at hand. Returns whether the block is complete.
  #addTokens({ end }: BlockRecord, count: number): boolean {
    const [window, predictor, block] = [this.#window, this.#predictor, this.#block];
    const readyEnd = window.ended ? window.length : window.length - window.lookahead;
    while (window.at < window.length && window.at <= readyEnd) {
      const run = end === END_PREDICTED
        ? predictor.run?.(window.at, Math.min(this.#rightTokens, MAX_TOKENS))
        : undefined;
      if (run !== undefined) {
        block.addRun(run);
        window.at += run.bytes;
        this.#rightTokens -= run.count;
        continue;
      }
      let token = predictor.token(window.at);
      if (this.#rightTokens-- === 0) token = this.#readToken();
      const bytes = tokenBytes(token);
      if (bytes > window.length - window.at) {
        throw new CorruptError(cannot("rebuild a block", "it reaches beyond the end"));
      }
      block.add(token);
      window.at += bytes;
      if (end === END_PREDICTED) {
        if (block.isPredictedEnd) return true;
      } else if (end === END_COUNT) {
        if (block.count === count) return true;
      } else if (block.bytes >= this.#lastBytes) {
        return true;
      }
    }
    if (!window.ended) return false;
    if (end === END_PREDICTED && block.count > 0) return true;
    throw new CorruptError(cannot("rebuild a block", "it reaches beyond the end"));
  }

  async #rebuildStored(record: BlockRecord, plain: PlainInput): Promise<void> {
    const padding = record.hasPadding ? this.#blocks.byte() : 0;
    const window = this.#window;
    let length = 0;
    if (record.end !== END_EMPTY) {
      await this.#ready(plain);
      const predicted = predictStoredLength(this.#predictor, this.#storedBlock, window);
      if (record.end === END_COUNT) length = this.#blocks.number(LONGEST_STORED);
      else length = record.end === END_SAME_BYTES ? this.#lastBytes : predicted;
      if (length <= 0 || length > LONGEST_STORED || length > window.length - window.at) {
        throw new CorruptError(cannot("rebuild a stored block", "its length is wrong"));
      }
      this.#lastBytes = length;
      this.#wasted += Math.max(0, this.#storedBlock.bytes - length);
    }
    this.#writer.storedBlock(length, { isFinal: record.isFinal, padding });
    this.#writer.raw(window.bytes.subarray(window.at, window.at + length));
    window.at += length;
  }

  async #ready(plain: PlainInput): Promise<void> {
    const window = this.#window;
    if (window.isReady) return;
    const dropped = window.slide();
    if (dropped > 0) this.#predictor.slide(dropped);
    await plain.fill();
    await this.#copied?.prepare(window.position, window.origin + window.length);
  }

  #readToken(): number {
    const { at, position } = this.#window;
    const length = this.#tokens.number(LONG_258 - 2);
    let token = this.#window.bytes[at]!;
    if (length > 0) {
      const distance = 1 + (this.#tokens.byte() | this.#tokens.byte() << 8);
      if (distance > 32_768 || distance > position) {
        throw new CorruptError(cannot("rebuild a block", "a match reaches before the start"));
      }
      token = length + 2 << 16 | distance;
    }
    this.#readGap();
    this.#predictor.correct(at, token);
    return token;
  }

  #readGap(): void {
    this.#rightTokens = this.#tokens.left === 0 ? Infinity : this.#tokens.number(Number.MAX_SAFE_INTEGER);
  }

  #checkWork(): void {
    const plainBytes = this.#recipe.plainSize - this.#plainLeft;
    if (isExcessive({ blocks: ++this.#blockCount, work: this.#predictor.work, wasted: this.#wasted, plainBytes })) {
      throw new CorruptError(cannot("rebuild the gzip stream", "it takes more work than its size allows"));
    }
  }

  async #checkEnd(plain: PlainInput): Promise<void> {
    const left = this.#tokens.left + this.#blocks.left + this.#headers.left;
    if (left > 0 || this.#rightTokens !== Infinity || this.#plainLeft > 0 || !await plain.isLast()) {
      throw new CorruptError(cannot("rebuild the gzip stream", "a part of the recipe is left"));
    }
  }
}
