import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { inflateRawSync } from "node:zlib";
import type { Scratch } from "../bytes/scratch.ts";
import { pause } from "./plain_index.ts";

/** The deflate stream of a file in a zip archive. */
export interface InnerStream {
  /** Position of its first byte. */
  readonly start: number;
  /** In bytes. */
  readonly size: number;
  /** The name of the file in its archive, as the bytes of it in Latin-1. */
  readonly name: string;
  /** A hash of its bytes. */
  readonly hash: string;
}

/** Most bytes of an inner stream, and most plain bytes of it: it is inflated in memory. */
export const MAX_STREAM_BYTES = 4 << 20;
/** The local header of a file (APPNOTE.TXT of PKWARE, section 4.3.7), without its name and extra field. */
const HEADER_BYTES = 30;
const SIGNATURE = Buffer.from("PK\x03\x04");
const DEFLATED = 8;
const [ENCRYPTED, SIZE_FOLLOWS] = [1, 8];
/** A smaller stream is not worth its place in a delta. */
export const MIN_STREAM_BYTES = 32;
/** How much is inflated first to find the end of a stream whose size follows it. */
const FIRST_BYTES = 64 << 10;
const WINDOW_BYTES = 1 << 20;

/** Bytes in which streams are looked for. */
export type Bytes = Pick<Scratch, "size" | "readAt">;

/** Finds the deflate streams of all zip archives, in order. An archive that is stored in another one counts too. */
export async function findInnerStreams(bytes: Bytes, signal?: AbortSignal): Promise<InnerStream[]> {
  const window = Buffer.alloc(WINDOW_BYTES);
  const found: InnerStream[] = [];
  for (let start = 0; start + HEADER_BYTES <= bytes.size;) {
    signal?.throwIfAborted();
    const part = window.subarray(0, bytes.readAt(start, window));
    let at = 0;
    for (let next; (next = part.indexOf(SIGNATURE, at)) >= 0 && next + HEADER_BYTES <= part.length;) {
      const stream = readEntry(bytes, start + next);
      if (stream !== undefined) found.push(stream);
      at = stream === undefined ? next + SIGNATURE.length : stream.start + stream.size - start;
      if (at >= part.length) break;
    }
    start += Math.max(at, part.length - HEADER_BYTES + 1);
    await pause();
  }
  return found;
}

/**
 * Inflates an inner stream.
 *
 * @param limit most plain bytes
 * @returns `undefined` when the bytes from its start are not a deflate stream of its size
 */
export function inflateStream(bytes: Bytes, { start, size }: InnerRange, limit: number): Uint8Array | undefined {
  const inflated = inflate(readRange(bytes, start, size), limit);
  return typeof inflated === "string" || inflated.size !== size ? undefined : inflated.plain;
}

/** Where a stream lies. */
export interface InnerRange {
  readonly start: number;
  readonly size: number;
}

// The stream of the file whose local header is at a position.
function readEntry(bytes: Bytes, position: number): InnerStream | undefined {
  const header = readRange(bytes, position, HEADER_BYTES);
  const flags = header.readUInt16LE(6);
  if (header.readUInt16LE(8) !== DEFLATED || (flags & ENCRYPTED) !== 0) return undefined;
  const name = readRange(bytes, position + HEADER_BYTES, header.readUInt16LE(26));
  const start = position + HEADER_BYTES + name.length + header.readUInt16LE(28);
  const declared = header.readUInt32LE(18);
  const size = (flags & SIZE_FOLLOWS) === 0 ? declared : findSize(bytes, start);
  if (size === undefined || size < MIN_STREAM_BYTES || size > MAX_STREAM_BYTES || start + size > bytes.size) {
    return undefined;
  }
  const hash = createHash("sha256").update(readRange(bytes, start, size)).digest("base64");
  return { start, size, name: name.toString("latin1"), hash };
}

function findSize(bytes: Bytes, start: number): number | undefined {
  for (let room = FIRST_BYTES;; room *= 8) {
    const part = readRange(bytes, start, Math.min(room, MAX_STREAM_BYTES));
    const inflated = inflate(part, MAX_STREAM_BYTES);
    if (typeof inflated !== "string") return inflated.size;
    if (inflated !== "Z_BUF_ERROR" || part.length < room || room >= MAX_STREAM_BYTES) return undefined;
  }
}

// The plain bytes and the size of the stream at the start of some bytes, or the code of zlib's error.
function inflate(bytes: Uint8Array, limit: number): { plain: Uint8Array; size: number } | string {
  try {
    // The types do not know that the option changes the result.
    const { buffer, engine } = inflateRawSync(bytes, {
      info: true,
      maxOutputLength: Math.max(1, limit),
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

function readRange(bytes: Bytes, start: number, length: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, Math.min(length, bytes.size - start)));
  return buffer.subarray(0, bytes.readAt(start, buffer));
}
