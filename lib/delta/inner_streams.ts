import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { inflateRawSync } from "node:zlib";
import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";

/** The deflate stream of a file in a zip archive, or of a gzip file. */
export interface InnerStream {
  /** Position of its first byte. */
  readonly start: number;
  /** In bytes. */
  readonly size: number;
  /** The name of the file in its archive, or in the header of gzip; each of its bytes is a character. */
  readonly name: string;
  /** A hash of its bytes. */
  readonly hash: string;
}

/** Most bytes of an inner stream, and most plain bytes of it: it is inflated in memory. */
export const MAX_STREAM_BYTES = 4 << 20;
/** The local header of a file (APPNOTE.TXT of PKWARE, section 4.3.7), without its name and extra field. */
const HEADER_BYTES = 30;
const ZIP_SIGNATURE = Buffer.from("PK\x03\x04");
const DEFLATED = 8;
/** The start of a gzip member (RFC 1952, section 2.3), which has the compression method already. */
const GZIP_SIGNATURE = Buffer.from("\x1f\x8b\x08", "latin1");
const GZIP_BYTES = 10;
/** What of the header of gzip is optional. */
const [HAS_CHECKSUM, HAS_EXTRA, HAS_NAME, HAS_COMMENT, RESERVED] = [2, 4, 8, 16, 0xe0];
/** Longest name or comment that is looked at. */
const MAX_TEXT_BYTES = 1024;
const [ENCRYPTED, SIZE_FOLLOWS] = [1, 8];
/** A smaller stream is not worth its place in a delta. */
export const MIN_STREAM_BYTES = 32;
/** The smallest chunk of zlib, and the usual one, in bytes. */
const [SMALLEST_CHUNK, CHUNK_BYTES] = [64, 16 << 10];
/** Less memory may be a part of memory that others use too. */
const LARGE_BYTES = 64 << 10;
/** How much is inflated first to find the end of a stream whose size follows it. */
const FIRST_BYTES = 64 << 10;
const WINDOW_BYTES = 1 << 20;
/** Memory of a list of streams, in bytes. */
export const MAX_LIST_BYTES = 32 << 20;
/** What a stream takes of it besides its name. */
const STREAM_BYTES = 128;
/** In ZIP64, the size in a local header that says that the real one is elsewhere. */
const SIZE_ELSEWHERE = 0xffff_ffff;
/**
 * Plain bytes that may be inflated to find the ends of streams: so many, and so many for each byte that is searched. Headers
 * may lie close together, and each may begin a stream of a few bytes that gives the most plain bytes.
 */
const [FREE_WORK, WORK_PER_BYTE] = [1 << 28, 16];
/** Makes a character of each byte. `Buffer` makes a string that takes 30 bytes of memory a character in some runtimes. */
const BYTES = new TextDecoder("windows-1252");
/** Enough of a hash that no two streams have the same. */
const HASH_BYTES = 18;

/** Options of `findInnerStreams`. */
interface FindOptions {
  /** Most bytes of memory that the list may take, as `listBytes` counts them; streams beyond it are left out. */
  readonly maxListBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The memory of a list of streams, in bytes. */
export function listBytes(streams: readonly InnerStream[]): number {
  return streams.reduce((sum, { name }) => sum + STREAM_BYTES + name.length, 0);
}

/**
 * Finds the deflate streams of all zip archives and gzip files, in order. An archive that is stored in another one counts
 * too.
 */
export async function findInnerStreams(
  source: ReadableBytes,
  { maxListBytes = MAX_LIST_BYTES, signal }: FindOptions = {},
): Promise<InnerStream[]> {
  const window = Buffer.alloc(WINDOW_BYTES);
  const bytes: SearchedBytes = {
    size: source.size,
    readAt: source.readAt.bind(source),
    workLeft: FREE_WORK + source.size * WORK_PER_BYTE,
  };
  const found: InnerStream[] = [];
  const turns = new Turns();
  let room = maxListBytes;
  for (let start = 0; start + HEADER_BYTES <= bytes.size && room > 0;) {
    const part = window.subarray(0, bytes.readAt(start, window));
    const signatures = [new Signature(part, ZIP_SIGNATURE), new Signature(part, GZIP_SIGNATURE)] as const;
    let at = 0;
    while (at < part.length && room > 0) {
      signal?.throwIfAborted();
      await turns.next();
      const [zip, gzip] = signatures.map((signature) => signature.next(at)) as [number, number];
      const next = Math.min(zip, gzip);
      if (next + HEADER_BYTES > part.length) break;
      const stream = (next === zip ? readZipEntry : readGzipMember)(bytes, start + next);
      at = stream === undefined ? next + 1 : stream.start + stream.size - start;
      if (stream === undefined) continue;
      found.push(stream);
      room -= listBytes([stream]);
    }
    start += Math.max(at, part.length - HEADER_BYTES + 1);
  }
  return found;
}

/** The bytes of one search. */
interface SearchedBytes extends ReadableBytes {
  /** Plain bytes that may still be inflated to find the ends of streams. */
  workLeft: number;
}

/** Finds a signature in bytes, at growing positions. */
class Signature {
  readonly #bytes: Buffer;
  readonly #signature: Buffer;
  #next = -1;

  constructor(bytes: Buffer, signature: Buffer) {
    this.#bytes = bytes;
    this.#signature = signature;
  }

  /** The next position from `at` on; `Infinity` when there is none. */
  next(at: number): number {
    if (this.#next < at) {
      const found = this.#bytes.indexOf(this.#signature, at);
      this.#next = found < 0 ? Infinity : found;
    }
    return this.#next;
  }
}

/**
 * Inflates an inner stream.
 *
 * @param limit most plain bytes
 * @returns `undefined` when the bytes from its start are not a deflate stream of its size
 */
export function inflateStream(
  bytes: ReadableBytes,
  { start, size }: InnerRange,
  limit: number,
): Uint8Array | undefined {
  const packed = readRange(bytes, start, size);
  const inflated = inflate(packed, limit);
  freeInflated(packed);
  return typeof inflated === "string" || inflated.size !== size ? undefined : inflated.plain;
}

/** Gives up the memory of inflated bytes, without waiting for a collection. Nothing else may use them. */
export function freeInflated(plain: Uint8Array): void {
  if (plain.length >= LARGE_BYTES && plain.buffer.byteLength === plain.length) free(plain);
}

/** Where a stream lies. */
interface InnerRange {
  readonly start: number;
  readonly size: number;
}

// The stream of the file whose local header is at a position.
function readZipEntry(bytes: SearchedBytes, position: number): InnerStream | undefined {
  const header = readRange(bytes, position, HEADER_BYTES);
  const flags = header.readUInt16LE(6);
  if (header.readUInt16LE(8) !== DEFLATED || (flags & ENCRYPTED) !== 0) return undefined;
  const nameLength = header.readUInt16LE(26);
  if (nameLength > MAX_TEXT_BYTES) return undefined;
  const name = readRange(bytes, position + HEADER_BYTES, nameLength);
  const start = position + HEADER_BYTES + name.length + header.readUInt16LE(28);
  const declared = header.readUInt32LE(18);
  const isDeclared = (flags & SIZE_FOLLOWS) === 0 && declared !== SIZE_ELSEWHERE;
  const size = isDeclared ? declared : findSize(bytes, start);
  return describe(bytes, { start, size }, BYTES.decode(name));
}

// The stream of the gzip member whose header is at a position.
function readGzipMember(bytes: SearchedBytes, position: number): InnerStream | undefined {
  const flags = readRange(bytes, position, GZIP_BYTES)[3]!;
  if ((flags & RESERVED) !== 0) return undefined;
  let start = position + GZIP_BYTES;
  if ((flags & HAS_EXTRA) !== 0) {
    const length = readRange(bytes, start, 2);
    if (length.length < 2) return undefined;
    start += 2 + length.readUInt16LE(0);
  }
  const texts: string[] = [];
  for (const text of [HAS_NAME, HAS_COMMENT]) {
    if ((flags & text) === 0) continue;
    const part = readRange(bytes, start, MAX_TEXT_BYTES);
    const end = part.indexOf(0);
    if (end < 0) return undefined;
    texts.push(BYTES.decode(part.subarray(0, end)));
    start += end + 1;
  }
  if ((flags & HAS_CHECKSUM) !== 0) start += 2;
  return describe(bytes, { start, size: findSize(bytes, start) }, `gzip ${(flags & HAS_NAME) === 0 ? "" : texts[0]}`);
}

function describe(
  bytes: ReadableBytes,
  { start, size }: { readonly start: number; readonly size: number | undefined },
  name: string,
): InnerStream | undefined {
  if (size === undefined || size < MIN_STREAM_BYTES || size > MAX_STREAM_BYTES || start + size > bytes.size) {
    return undefined;
  }
  const hash = createHash("sha256").update(readRange(bytes, start, size)).digest().toString("base64", 0, HASH_BYTES);
  return { start, size, name, hash };
}

function findSize(bytes: SearchedBytes, start: number): number | undefined {
  if (bytes.workLeft <= 0) return undefined;
  for (let room = FIRST_BYTES;; room *= 8) {
    const part = readRange(bytes, start, Math.min(room, MAX_STREAM_BYTES));
    const inflated = inflate(part, MAX_STREAM_BYTES);
    if (typeof inflated !== "string") {
      bytes.workLeft -= inflated.plain.length;
      return inflated.size;
    }
    if (inflated === "Z_BUF_ERROR" && part.length === room && room < MAX_STREAM_BYTES) continue;
    // What was inflated before the error is not known.
    bytes.workLeft -= MAX_STREAM_BYTES;
    return undefined;
  }
}

// The plain bytes and the size of the stream at the start of some bytes, or the code of zlib's error.
function inflate(bytes: Uint8Array, limit: number): { plain: Uint8Array; size: number } | string {
  try {
    // The types do not know that the option changes the result.
    const { buffer, engine } = inflateRawSync(bytes, {
      info: true,
      maxOutputLength: Math.max(1, limit),
      // One piece of memory where the size is known, instead of many that are joined.
      chunkSize: limit < MAX_STREAM_BYTES ? Math.max(SMALLEST_CHUNK, limit) : CHUNK_BYTES,
    }) as unknown as {
      readonly buffer: Uint8Array;
      readonly engine: { readonly bytesWritten: number };
    };
    return { plain: buffer, size: engine.bytesWritten };
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (typeof code !== "string") throw error;
    return code;
  }
}

function readRange(bytes: ReadableBytes, start: number, length: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, Math.min(length, bytes.size - start)));
  return buffer.subarray(0, bytes.readAt(start, buffer));
}
