import { createHash, type Hash } from "node:crypto";
import { crc32 } from "node:zlib";
import { formatGzipEnd, type GzipState, STORED_BYTES, STORED_HEADER_BYTES } from "../archive/gzip_writer.ts";
import { isSameBytes } from "../bytes/shared_bytes.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { type BundleFile, END_BYTES, positionInFile, sizeOfEntry } from "./bundle_layout.ts";
import type { EntryVerifier } from "./entry_verifier.ts";

/** A file that may hold the beginning of the bundle that is to be written. */
export interface PartialFile {
  /** Reads from `position` on until `buffer` is full or the file ends. @returns the number of bytes read */
  readAt(position: number, buffer: Uint8Array): Promise<number>;
  /** Truncates the file to `length` bytes; the next write appends to them. */
  cut(length: number): Promise<void>;
}

/** The verified beginning of a file, from which the pack resumes. */
export interface ResumePoint {
  /** The gzip state at the end of the last complete stored block. */
  readonly state: GzipState;
  /** Content of the next stored block that the file already has. The block is written again from its start. */
  readonly tail: Uint8Array;
  /** Index of the entry in which the content ends. After the last entry: the end of the tar. */
  readonly entry: number;
  /** Bytes present of that entry, including its header. */
  readonly offset: number;
  /** Whether the file is complete. */
  readonly isComplete: boolean;
  /** The verifier, after all content present. */
  readonly check: EntryVerifier;
  /** The hash of the file up to `state`, with `hashOutput`. */
  readonly hash: Hash | undefined;
}

/** Options for resuming a file. */
interface ResumeFileOptions {
  /** The verifier, after the content of the files before this one. */
  readonly check: EntryVerifier;
  /** Whether to hash the file. */
  readonly hashOutput?: boolean;
}

const STRIDE = STORED_HEADER_BYTES + STORED_BYTES;
const BUFFER_BYTES = 16 * STRIDE;

/**
 * Resumes the file of an interrupted pack. Compares the file with what would be written, and hashes the content. At a
 * difference the file is truncated to the start of the entry that has it. With another head, the file belongs to another
 * package and is emptied. Afterwards the file ends where `state` says.
 */
export async function resumeFile(
  file: PartialFile,
  layout: BundleFile,
  options: ResumeFileOptions,
): Promise<ResumePoint> {
  // Each round compares a shorter file.
  for (;;) {
    const found = await compareFile(file, layout, options);
    if ("matching" in found) {
      await file.cut(found.matching);
      if (found.matching > 0) continue;
      return beginFile(options);
    }
    if (!found.isComplete) await file.cut(found.state.size);
    return found;
  }
}

/** Returns the resume point of an empty file: the head has to be written first. */
export function beginFile({ check, hashOutput }: ResumeFileOptions): ResumePoint {
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

/** Compares an existing file with what would be written. @returns `undefined` when it differs or is incomplete */
export async function checkWhole(
  file: Pick<PartialFile, "readAt">,
  layout: BundleFile,
  options: ResumeFileOptions,
): Promise<ResumePoint | undefined> {
  const found = await compareFile(file, layout, options);
  return "matching" in found || !found.isComplete ? undefined : found;
}

// Returns `matching` when the file differs: the number of bytes to keep, up to the start of the differing entry.
async function compareFile(
  file: Pick<PartialFile, "readAt">,
  layout: BundleFile,
  options: ResumeFileOptions,
): Promise<ResumePoint | { readonly matching: number }> {
  const { head, bodySize } = layout;
  const headRead = new Uint8Array(head.bytes.length);
  if (await file.readAt(0, headRead) < headRead.length || !isSameBytes(headRead, head.bytes)) return { matching: 0 };
  const { check, hash } = beginFile(options);
  hash?.update(headRead);
  const comparer = new LayoutComparer(layout, check);
  let { size, crc, length } = head.state;
  let tail = new Uint8Array(0);
  const buffer = new Uint8Array(BUFFER_BYTES);
  reading: for (let read = BUFFER_BYTES; read === BUFFER_BYTES && comparer.seen < bodySize;) {
    read = await file.readAt(size, buffer);
    for (let at = 0; at < read && comparer.seen < bodySize;) {
      const expected = Math.min(STORED_BYTES, bodySize - comparer.seen);
      const block = buffer.subarray(at, Math.min(at + STORED_HEADER_BYTES + expected, read));
      if (!isBlockHeader(block, expected)) break reading;
      const content = block.subarray(STORED_HEADER_BYTES);
      const wrongFrom = comparer.compare(content);
      if (wrongFrom !== undefined) return { matching: positionInFile(layout, wrongFrom) };
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
  const isComplete = comparer.seen === bodySize && tail.length === 0 &&
    await isEnd(file, size, formatGzipEnd({ crc, length }));
  if (isComplete) hash?.update(formatGzipEnd({ crc, length }));
  const { entry, offset } = comparer;
  return { state: { size, crc, length }, tail, entry, offset, isComplete, check, hash };
}

/** Compares the tar after the head with its layout, and verifies the content, chunk by chunk. */
class LayoutComparer {
  /** Bytes compared so far. */
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

  /** Compares the next bytes. @returns the start of the entry that has a difference, if any */
  compare(bytes: Uint8Array): number | undefined {
    for (let rest = bytes; rest.length > 0;) {
      const piece = rest.subarray(0, this.#sizeOfStep());
      if (!this.#isRight(piece)) return this.#entryStart;
      rest = rest.subarray(piece.length);
      this.offset += piece.length;
      this.seen += piece.length;
      if (!this.#finishStep()) return this.#entryStart;
    }
    return undefined;
  }

  // Bytes left of the current step: a header, content or padding.
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
      return isSameBytes(piece, entry.header.subarray(at, at + piece.length));
    }
    if (entry === undefined || at >= entry.header.length + entry.length) return piece.every((byte) => byte === 0);
    return isAccepted(() => this.#check.update(piece));
  }

  // Begins and ends the verification of entries at their borders. Returns false when the content does not match.
  #finishStep(): boolean {
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
  return await file.readAt(position, end) === expected.length &&
    isSameBytes(end.subarray(0, expected.length), expected);
}

// RFC 1951, 3.2.4. The header of a truncated block has the full length of the block.
function isBlockHeader(block: Uint8Array, length: number): boolean {
  if (block.length <= STORED_HEADER_BYTES) return false;
  const view = new DataView(block.buffer, block.byteOffset);
  return block[0] === 0 && view.getUint16(1, true) === length && view.getUint16(3, true) === (~length & 0xffff);
}
