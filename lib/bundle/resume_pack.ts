import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { formatGzipEnd, type GzipState, STORED_BYTES, STORED_HEADER_BYTES } from "../archive/gzip_writer.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { type BundleFile, END_BYTES, placeInFile, sizeOfEntry } from "./bundle_layout.ts";
import type { EntryVerifier } from "./entry_verifier.ts";

/** A file that may hold the beginning of what is going to be written. */
export interface PartialFile {
  /** Reads from `position` on until `buffer` is full or the file ends. @returns how many bytes were read */
  readAt(position: number, buffer: Uint8Array): Promise<number>;
  /** Keeps the first `length` bytes; what is written next goes behind them. */
  cut(length: number): Promise<void>;
}

/** What there is of a file, found to be right. */
export interface ResumePoint {
  /** How far the file is: at the end of a stored block. */
  readonly state: GzipState;
  /** What is there of the next stored block, which has to be written again. */
  readonly tail: Uint8Array;
  /** The entry in which it ends; behind the last one: the end of the tar. */
  readonly entry: number;
  /** Bytes of that entry, its header included. */
  readonly offset: number;
  /** Whether there is nothing left to write. */
  readonly isComplete: boolean;
  /** Has seen all content that is there. */
  readonly check: EntryVerifier;
  /** Of all that is there up to `state`. */
  readonly hash: Hash | undefined;
}

/** How a file is looked at. */
export interface TakeUpOptions {
  /** Has seen what is in the files before this one. */
  readonly check: EntryVerifier;
  /** Whether the file itself is to be hashed. */
  readonly hashOutput?: boolean;
}

const STRIDE = STORED_HEADER_BYTES + STORED_BYTES;
const BUFFER_BYTES = 16 * STRIDE;

/**
 * Takes up what an interrupted pack left in a file. All of it is compared with what would be written, and content is hashed.
 * What follows a difference is cut off, from the beginning of the entry on in which it is; where the head differs, it is
 * another package's, and nothing stays. Then the file ends where `state` says.
 */
export async function resumeFile(file: PartialFile, layout: BundleFile, options: TakeUpOptions): Promise<ResumePoint> {
  // Each turn is one with less of the file.
  for (;;) {
    const found = await readFile(file, layout, options);
    if ("good" in found) {
      await file.cut(found.good);
      if (found.good > 0) continue;
      return beginFile(options);
    }
    if (!found.isComplete) await file.cut(found.state.size);
    return found;
  }
}

/** What there is when there is nothing: the head has to be written first. */
export function beginFile({ check, hashOutput }: TakeUpOptions): ResumePoint {
  return {
    state: { size: 0, crc: 0, length: 0 },
    tail: new Uint8Array(0),
    entry: 0,
    offset: 0,
    isComplete: false,
    check: check.fork(),
    hash: hashOutput ? createHash("sha256") : undefined,
  };
}

/** Tells whether a file is what would be written. @returns `undefined` if it is not, or not all of it */
export async function checkWhole(
  file: Pick<PartialFile, "readAt">,
  layout: BundleFile,
  options: TakeUpOptions,
): Promise<ResumePoint | undefined> {
  const found = await readFile(file, layout, options);
  return "good" in found || !found.isComplete ? undefined : found;
}

// `good`: there is a difference; so many bytes at the beginning of the file are right.
async function readFile(
  file: Pick<PartialFile, "readAt">,
  layout: BundleFile,
  options: TakeUpOptions,
): Promise<ResumePoint | { readonly good: number }> {
  const { head, bodySize } = layout;
  const begun = new Uint8Array(head.bytes.length);
  if (await file.readAt(0, begun) < begun.length || !isSame(begun, head.bytes)) return { good: 0 };
  const { check, hash } = beginFile(options);
  hash?.update(begun);
  const walk = new LayoutComparer(layout, check);
  let { size, crc, length } = head.state;
  let tail = new Uint8Array(0);
  const buffer = new Uint8Array(BUFFER_BYTES);
  reading: for (let read = BUFFER_BYTES; read === BUFFER_BYTES && walk.seen < bodySize;) {
    read = await file.readAt(size, buffer);
    for (let at = 0; at < read && walk.seen < bodySize;) {
      const expected = Math.min(STORED_BYTES, bodySize - walk.seen);
      const block = buffer.subarray(at, Math.min(at + STORED_HEADER_BYTES + expected, read));
      if (!isBlockHeader(block, expected)) break reading;
      const content = block.subarray(STORED_HEADER_BYTES);
      const wrongFrom = walk.pass(content);
      if (wrongFrom !== undefined) return { good: placeInFile(layout, wrongFrom) };
      if (content.length < expected) {
        tail = content.slice();
        break reading;
      }
      hash?.update(block);
      crc = crc32(content, crc);
      length += content.length;
      size += block.length;
      at += block.length;
    }
  }
  const isComplete = walk.seen === bodySize && tail.length === 0 &&
    await isEnd(file, size, formatGzipEnd({ crc, length }));
  if (isComplete) hash?.update(formatGzipEnd({ crc, length }));
  const { entry, offset } = walk;
  return { state: { size, crc, length }, tail, entry, offset, isComplete, check, hash };
}

/** Compares the tar behind the head with what it has to be, and verifies the content, while the bytes pass. */
class LayoutComparer {
  /** Bytes that have passed. */
  seen = 0;
  entry = 0;
  offset = 0;
  readonly #layout: BundleFile;
  readonly #check: EntryVerifier;
  #entryStart = 0;

  constructor(layout: BundleFile, check: EntryVerifier) {
    this.#layout = layout;
    this.#check = check;
  }

  /** @returns where the entry begins in which there is a difference, if there is one */
  pass(bytes: Uint8Array): number | undefined {
    for (let rest = bytes; rest.length > 0;) {
      const piece = rest.subarray(0, this.#sizeOfStep());
      if (!this.#isRight(piece)) return this.#entryStart;
      rest = rest.subarray(piece.length);
      this.offset += piece.length;
      this.seen += piece.length;
      if (!this.#settle()) return this.#entryStart;
    }
    return undefined;
  }

  // Header, content or zeros: up to the end of the one which is being read.
  #sizeOfStep(): number {
    const entry = this.#layout.entries[this.entry];
    if (entry === undefined) return END_BYTES - this.offset;
    const { header, length } = entry;
    const ends = [header.length, header.length + length, sizeOfEntry(entry)];
    return ends.find((end) => end > this.offset)! - this.offset;
  }

  #isRight(piece: Uint8Array): boolean {
    const entry = this.#layout.entries[this.entry];
    const at = this.offset;
    if (entry !== undefined && at < entry.header.length) {
      return isSame(piece, entry.header.subarray(at, at + piece.length));
    }
    if (entry === undefined || at >= entry.header.length + entry.length) return piece.every((byte) => byte === 0);
    return isAccepted(() => this.#check.update(piece));
  }

  #settle(): boolean {
    const entry = this.#layout.entries[this.entry];
    if (entry === undefined) return true;
    const { header, length } = entry;
    if (this.offset === header.length) this.#check.begin(entry);
    if (this.offset === header.length + length && !isAccepted(() => this.#check.end(entry))) return false;
    if (this.offset === sizeOfEntry(entry)) {
      this.entry++;
      this.offset = 0;
      this.#entryStart = this.seen;
    }
    return true;
  }
}

function isAccepted(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof DigestMismatchError) return false;
    throw error;
  }
}

async function isEnd(file: Pick<PartialFile, "readAt">, position: number, expected: Uint8Array): Promise<boolean> {
  const end = new Uint8Array(expected.length + 1);
  return await file.readAt(position, end) === expected.length && isSame(end.subarray(0, expected.length), expected);
}

// RFC 1951, 3.2.4. One that was cut off says how long it was going to be.
function isBlockHeader(block: Uint8Array, length: number): boolean {
  if (block.length <= STORED_HEADER_BYTES) return false;
  const view = new DataView(block.buffer, block.byteOffset);
  return block[0] === 0 && view.getUint16(1, true) === length && view.getUint16(3, true) === (~length & 0xffff);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
