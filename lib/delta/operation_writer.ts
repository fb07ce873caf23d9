import type { ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { MAX_REPLACED_BYTES, type OperationStreams } from "./operations.ts";
import { type CopiedSpan, MIN_SPAN_BYTES } from "./find_copied_runs.ts";
import { SectionWriter } from "./section_bytes.ts";
import type { BaseRange, DiffSink } from "./tar_diff.ts";

/** The numbers of a delta are in memory while it is made. With more, it would not be smaller than its layer. */
const MAX_NUMBER_BYTES = 64 << 20;
/** Larger than any varint of a number below 2^53. */
const MAX_VARINT_BYTES = 8;

/** A diff has so many operations that a delta would not be smaller than its layer. */
export class TooManyOperationsError extends Error {}

/** The options of an `OperationWriter`. */
interface OperationWriterOptions {
  /** The ranges that copies come from. */
  readonly ranges: readonly BaseRange[];
  /** The old bytes of these ranges, one after the other. */
  readonly old: ReadableBytes;
  /** Receive the inserted bytes; see `OperationStreams`. */
  readonly literals: Pick<Scratch, "append">;
  readonly differences: Pick<Scratch, "append">;
}

/** Writes the operations of a diff. Old positions are written as if nothing was between the ranges. */
export class OperationWriter implements DiffSink {
  /** The long ranges that were copied. */
  readonly spans: CopiedSpan[] = [];
  readonly #options: OperationWriterOptions;
  readonly #inserts = new SectionWriter();
  readonly #copies = new SectionWriter();
  readonly #jumps = new SectionWriter();
  /** Inserted bytes of the operation, as long as they may become differences. */
  readonly #pending = new Uint8Array(MAX_REPLACED_BYTES);
  readonly #before = new Uint8Array(MAX_REPLACED_BYTES);
  #insert = 0;
  #copy: { readonly position: number; length: number } | undefined;
  /** The old position that would follow. */
  #expected = 0;
  /** The new position behind the last copy that was written. */
  #made = 0;

  constructor(options: OperationWriterOptions) {
    this.#options = options;
  }

  insert(bytes: Uint8Array): void {
    this.#flushCopy();
    const { literals } = this.#options;
    const length = this.#insert + bytes.length;
    if (length <= MAX_REPLACED_BYTES) this.#pending.set(bytes, this.#insert);
    else {
      if (this.#insert <= MAX_REPLACED_BYTES) literals.append(this.#pending.subarray(0, this.#insert));
      literals.append(bytes);
    }
    this.#insert = length;
  }

  copy(position: number, length: number): void {
    const at = this.#place(position);
    const copy = this.#copy;
    if (copy !== undefined && copy.position + copy.length === at) copy.length += length;
    else {
      this.#flushCopy();
      this.#copy = { position: at, length };
    }
  }

  /** Ends the operations, and returns their numbers. */
  finish(): Pick<OperationStreams<Uint8Array>, "inserts" | "copies" | "jumps"> {
    this.#flushCopy();
    if (this.#insert > 0) {
      this.#writeInserted(false);
      addNumber(this.#inserts, this.#insert);
      addNumber(this.#copies, 0);
    }
    return { inserts: this.#inserts.bytes, copies: this.#copies.bytes, jumps: this.#jumps.bytes };
  }

  #flushCopy(): void {
    if (this.#copy === undefined) return;
    const { position, length } = this.#copy;
    const start = this.#made + this.#insert;
    if (length >= MIN_SPAN_BYTES) this.spans.push({ start, length, from: position });
    this.#made = start + length;
    const jump = position - (this.#expected + this.#insert);
    this.#writeInserted(jump === 0);
    addNumber(this.#inserts, this.#insert);
    addNumber(this.#copies, length);
    addNumber(this.#jumps, jump >= 0 ? jump * 2 : -jump * 2 - 1);
    this.#expected = position + length;
    this.#insert = 0;
    this.#copy = undefined;
  }

  #writeInserted(isReplacing: boolean): void {
    const { old, literals, differences } = this.#options;
    if (this.#insert === 0 || this.#insert > MAX_REPLACED_BYTES) return;
    const bytes = this.#pending.subarray(0, this.#insert);
    if (!isReplacing) return literals.append(bytes);
    const before = this.#before.subarray(0, this.#insert);
    old.readAt(this.#expected, before);
    for (let i = 0; i < bytes.length; i++) bytes[i]! -= before[i]!;
    differences.append(bytes);
  }

  #place(position: number): number {
    let before = 0;
    for (const { start, end } of this.#options.ranges) {
      if (position < end) return before + position - start;
      before += end - start;
    }
    throw new Error(`position ${position} lies in no range`);
  }
}

function addNumber(numbers: SectionWriter, value: number): void {
  if (numbers.length + MAX_VARINT_BYTES > MAX_NUMBER_BYTES) throw new TooManyOperationsError("too many operations");
  numbers.number(value);
}
