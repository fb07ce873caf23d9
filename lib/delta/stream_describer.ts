import { free } from "../bytes/lent_chunks.ts";
import { END_COUNT, END_EMPTY, END_PREDICTED, END_SAME_BYTES, formatBlockRecord, isExcessive } from "./block_record.ts";
import { DeflateError } from "./bit_input.ts";
import { type CopiedTokens, withCopied } from "./copied_tokens.ts";
import { createHeader, type DecodedBlock, DecodedBlocks, STORED } from "./decoded_blocks.ts";
import { tokenBytes } from "./deflate_tables.ts";
import type { RecipeLimits, RecipeSections } from "./gzip_recipe.ts";
import { GzipReader } from "./gzip_reader.ts";
import { writeHeaderDifference } from "./header_difference.ts";
import { MemberWindow } from "./member_window.ts";
import type { DeflateModel, TokenPredictor } from "./models/model.ts";
import { PredictedBlock, predictStoredLength } from "./predicted_block.ts";
import { SectionWriter } from "./section_bytes.ts";
import { cannot } from "../oci/error.ts";

/** What a stream is described with. */
interface DescriberOptions {
  readonly model: DeflateModel;
  readonly parameters: Uint8Array;
  readonly limits: RecipeLimits;
  readonly plain?: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
  readonly copied?: CopiedTokens | undefined;
}

/** How well the predictions held. */
interface PredictionCounts {
  tokens: number;
  wrongTokens: number;
  blocks: number;
  wrongEnds: number;
  wrongHeaders: number;
}

/** Describes one gzip stream with one model: the predictions follow the decoding at the distance that they need. */
export class StreamDescriber {
  readonly counts: PredictionCounts = { tokens: 0, wrongTokens: 0, blocks: 0, wrongEnds: 0, wrongHeaders: 0 };
  /** The plain bytes of the members that were read to their end. */
  plainSize = 0;
  readonly #options: DescriberOptions;
  readonly #window: MemberWindow;
  readonly #predictor: TokenPredictor;
  readonly #decoded: DecodedBlocks;
  readonly #block: PredictedBlock;
  #wasted = 0;
  readonly #storedBlock: PredictedBlock;
  readonly #header = createHeader();
  readonly #sections = createSections();
  /** Tokens since the last wrong one. */
  #rightTokens = 0;
  #isBlockOpen = false;
  #lastBytes = 0;
  /** The index in the window up to which `plain` has got the bytes. */
  #passed = 0;

  constructor(options: DescriberOptions) {
    this.#options = options;
    this.#window = new MemberWindow(options.model);
    const predictor = options.model.start(options.parameters, this.#window);
    this.#predictor = withCopied(predictor, this.#window, options.copied);
    this.#decoded = new DecodedBlocks(this.#window.bytes.length);
    this.#block = new PredictedBlock(this.#predictor);
    this.#storedBlock = new PredictedBlock(this.#predictor);
  }

  /** The bytes of the sections so far. */
  get cost(): number {
    const { tokens, blocks, headers, members } = this.#sections;
    return tokens.length + blocks.length + headers.length + members.length;
  }

  /** @returns the sections of a stream that was read to its end */
  get sections(): RecipeSections {
    const { tokens, blocks, headers, members } = this.#sections;
    return { tokens: tokens.finish(), blocks: blocks.finish(), headers: headers.finish(), members: members.finish() };
  }

  /**
   * Reads the stream, once. A chunk is only used until the next one is asked for.
   *
   * @throws {DeflateError} when it is damaged, or exceeds the limits
   */
  async read(source: AsyncIterator<Uint8Array>): Promise<void> {
    const reader = new GzipReader(source, this.#window, this.#decoded);
    try {
      await this.#readMembers(reader);
    } finally {
      // Dozens of candidates are tried for a layer, with some megabytes each, which would wait for a collection.
      reader.free();
      free(this.#window.bytes);
      for (const { tokens } of [this.#decoded, this.#block, this.#storedBlock]) free(tokens);
    }
  }

  async #readMembers(reader: GzipReader): Promise<void> {
    const { members } = this.#sections;
    if (!await reader.hasMember()) throw new DeflateError(cannot("read the gzip stream", "it is none"));
    do {
      await reader.openMember();
      await this.#readMember(reader);
      await reader.closeMember();
      const size = this.#window.origin + this.#window.length;
      members.number(reader.header.length);
      members.raw(reader.header);
      members.number(size);
      members.byte(reader.padding);
      this.plainSize += size;
      this.#checkLimits();
    } while (await reader.hasMember());
    members.number(0);
    members.raw(await reader.readRest(this.#options.limits.sectionBytes));
    this.#checkLimits();
  }

  async #readMember(reader: GzipReader): Promise<void> {
    const window = this.#window;
    window.reset();
    this.#predictor.reset();
    this.#passed = this.#lastBytes = 0;
    while (!window.ended) {
      const isEnd = await reader.decode();
      await this.#passPlain();
      window.ended = isEnd;
      await this.#options.copied?.prepare(window.position, window.origin + window.length);
      this.#predictDecoded();
      this.#checkLimits();
      const dropped = window.slide();
      if (dropped === 0) continue;
      this.#predictor.slide(dropped);
      this.#passed -= dropped;
    }
  }

  async #passPlain(): Promise<void> {
    const { bytes, length } = this.#window;
    if (length > this.#passed) await this.#options.plain?.(bytes.slice(this.#passed, length));
    this.#passed = length;
  }

  #predictDecoded(): void {
    const { blocks } = this.#decoded;
    let done = 0;
    while (done < blocks.length && this.#predictBlock(blocks[done]!)) done++;
    blocks.splice(0, done);
  }

  // Returns whether the block is finished.
  #predictBlock(block: DecodedBlock): boolean {
    if (block.type === STORED) return this.#predictStored(block);
    if (!this.#isBlockOpen) {
      this.#block.begin(this.#window.position);
      this.#isBlockOpen = true;
    }
    this.#predictTokens(block);
    if (!block.isComplete || block.tokens > 0) return false;
    this.#finishBlock(block);
    this.#isBlockOpen = false;
    return true;
  }

  #predictTokens(decoded: DecodedBlock): void {
    const window = this.#window;
    const { tokens } = this.#decoded;
    const [predictor, block, output] = [this.#predictor, this.#block, this.#sections.tokens];
    const readyEnd = window.ended ? window.length : window.length - window.lookahead;
    let [head, right, wrong] = [this.#decoded.head, this.#rightTokens, 0];
    const end = head + decoded.tokens;
    for (; head < end && window.at <= readyEnd; head++) {
      const token = tokens[head]!;
      if (predictor.token(window.at) === token) {
        right++;
      } else {
        predictor.correct(window.at, token);
        output.number(right);
        writeToken(token, output);
        right = 0;
        wrong++;
      }
      block.add(token);
      window.at += tokenBytes(token);
    }
    this.counts.tokens += head - this.#decoded.head;
    this.counts.wrongTokens += wrong;
    decoded.tokens = end - head;
    this.#decoded.head = head;
    this.#rightTokens = right;
  }

  #finishBlock({ type, isFinal, header }: DecodedBlock): void {
    const { blocks, headers } = this.#sections;
    const [block, window] = [this.#block, this.#window];
    const isMemberEnd = window.ended && window.at === window.length && !block.hasPredictedEnd;
    const end = block.count === 0
      ? END_EMPTY
      : block.isPredictedEnd || isMemberEnd
      ? END_PREDICTED
      : block.bytes === this.#lastBytes
      ? END_SAME_BYTES
      : END_COUNT;
    const hasHeader = header !== undefined &&
      writeHeaderDifference(header, { style: this.#predictor.headers, block, header: this.#header }, headers);
    blocks.byte(formatBlockRecord({ isFinal, type, end, hasHeader, hasPadding: false }));
    if (end === END_COUNT) blocks.number(block.count);
    if (block.bytes > 0) this.#lastBytes = block.bytes;
    this.#count(end, hasHeader);
  }

  #predictStored({ isFinal, type, isComplete, padding, storedBytes }: DecodedBlock): boolean {
    const window = this.#window;
    if (!isComplete || storedBytes > 0 && !window.isReady) return false;
    const { blocks } = this.#sections;
    let end = END_EMPTY;
    if (storedBytes > 0) {
      const predicted = predictStoredLength(this.#predictor, this.#storedBlock, window);
      end = predicted === storedBytes ? END_PREDICTED : storedBytes === this.#lastBytes ? END_SAME_BYTES : END_COUNT;
      this.#lastBytes = storedBytes;
      this.#wasted += Math.max(0, this.#storedBlock.bytes - storedBytes);
    }
    window.at += storedBytes;
    blocks.byte(formatBlockRecord({ isFinal, type, end, hasHeader: false, hasPadding: padding !== 0 }));
    if (padding !== 0) blocks.byte(padding);
    if (end === END_COUNT) blocks.number(storedBytes);
    this.#count(end, false);
    return true;
  }

  #count(end: number, hasHeader: boolean): void {
    this.counts.blocks++;
    if (end > END_EMPTY) this.counts.wrongEnds++;
    if (hasHeader) this.counts.wrongHeaders++;
  }

  #checkLimits(): void {
    const { sectionBytes, plainBytes } = this.#options.limits;
    const plain = this.plainSize + this.#window.origin + this.#window.length;
    const blocks = this.counts.blocks + this.#decoded.blocks.length;
    if (
      this.cost > sectionBytes || plain > plainBytes ||
      isExcessive({ blocks, work: this.#predictor.work, wasted: this.#wasted, plainBytes: plain })
    ) throw new DeflateError(cannot("describe the gzip stream", "it exceeds the limits"));
  }
}

function createSections() {
  return {
    tokens: new SectionWriter(),
    blocks: new SectionWriter(),
    headers: new SectionWriter(),
    members: new SectionWriter(),
  };
}

// A literal is its plain byte, which is known.
function writeToken(token: number, output: SectionWriter): void {
  if (token < 256) return output.number(0);
  output.number((token >>> 16) - 2);
  const distance = (token & 0xffff) - 1;
  output.byte(distance & 255);
  output.byte(distance >> 8);
}
