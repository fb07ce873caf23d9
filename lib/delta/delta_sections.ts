import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { freePiece, TransformSource } from "../archive/zlib_source.ts";
import { ZstdFrames } from "../archive/zstd_frames.ts";
import { ByteReader, type ByteSource, openByteSource } from "../bytes/byte_reader.ts";
import { free, LentMemory, returnUsedChunks } from "../bytes/lent_chunks.ts";
import type { ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { Section } from "./delta_format.ts";

/** zstd's windows, as powers of 2. The largest, 4 MiB, is also the memory of a reader for each open section. */
const [MIN_WINDOW_LOG, MAX_WINDOW_LOG] = [10, 22];
/** All sections are open at once, so that half of the largest window saves a site some megabytes. */
const WINDOW_LOG = 21;
const CHUNK_BYTES = 256 << 10;
/** Less memory may be a part of memory that others use too. */
const LEAST_CHUNK_BYTES = 64 << 10;
const WHAT = "a section of the delta";

/** How a section is compressed. */
interface PackLevel {
  /** zstd's compression level. */
  readonly level: number;
  /** The largest window as a power of 2, at most that of 4 MiB; default: 2 MiB. A reader needs its memory. */
  readonly maxWindowLog?: number;
}

/**
 * Compresses bytes to the end of `output`, as one zstd frame; nothing for no bytes.
 */
export async function packSection(
  input: ReadableBytes,
  output: Scratch,
  { level, maxWindowLog = WINDOW_LOG }: PackLevel,
): Promise<Section> {
  if (input.size === 0) return { size: 0, packed: 0 };
  const start = output.size;
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: Math.max(MIN_WINDOW_LOG, Math.min(maxWindowLog, Math.ceil(Math.log2(input.size)))),
  };
  const source = returnUsedChunks(openBytes(input));
  const packed = new TransformSource(source, createZstdCompress({ params, chunkSize: CHUNK_BYTES }), WHAT);
  for (let piece = await packed.read(); piece !== undefined; piece = await packed.read()) {
    output.append(piece);
    freePiece(piece, CHUNK_BYTES);
  }
  return { size: input.size, packed: output.size - start };
}

/**
 * Opens a section for reading. Its bytes are read once, and no more than it declares. A piece is only valid until the
 * next one is asked for, or the source is cancelled: its memory is given up then.
 *
 * @param input the `section.packed` bytes of the frame
 * @throws {CorruptError} from the source, when the frame is damaged, or has another size
 */
export function openSection(input: ReadableStream<Uint8Array>, { size, packed }: Section): ByteSource {
  const source = returnUsedChunks(openByteSource(input));
  const chunkSize = Math.min(CHUNK_BYTES, Math.max(LEAST_CHUNK_BYTES, size));
  const frames = new ZstdFrames(new ByteReader(source, WHAT), WHAT);
  let [frame, last]: [TransformSource | undefined, Uint8Array | undefined] = [undefined, undefined];
  let left = size;
  return {
    read: async () => {
      if (packed === 0) return undefined;
      if (frame === undefined) {
        const params = { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG };
        const opened = await frames.next();
        if (opened === undefined) throw new CorruptError(cannot("apply the delta", `${WHAT} is missing`));
        frame = new TransformSource(opened, createZstdDecompress({ params, chunkSize }), WHAT);
      }
      if (last !== undefined) freePiece(last, chunkSize);
      const piece = last = await frame.read();
      left -= piece?.length ?? 0;
      if (left >= 0 && (piece !== undefined || left === 0)) return piece;
      throw new CorruptError(cannot("apply the delta", `${WHAT} does not have the ${size} bytes that its header says`));
    },
    cancel: async (reason) => {
      await frame?.cancel(reason);
      if (last?.buffer.byteLength === chunkSize) free(last);
      await source.cancel(reason);
    },
  };
}

/** Reads a section of a size that fits into memory. @throws as `openSection` */
export async function readSection(input: ReadableStream<Uint8Array>, section: Section): Promise<Uint8Array> {
  const source = openSection(input, section);
  try {
    // Copied as they come: a frame may have a block for each byte.
    const bytes = new Uint8Array(section.size);
    let at = 0;
    for (let piece = await source.read(); piece !== undefined; piece = await source.read()) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  } finally {
    await source.cancel();
  }
}

/** Bytes in memory as scratch space that is only read. */
export function scratchOf(bytes: Uint8Array): ReadableBytes {
  return {
    size: bytes.length,
    readAt: (position, target) => {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** Opens bytes for reading from their start to their end. Chunks are lent: a reader may return them. */
export function openBytes(input: ReadableBytes): ByteSource {
  let at = 0;
  return {
    read: async () => {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, input.size - at));
      const length = chunk.length === 0 ? 0 : input.readAt(at, chunk);
      if (length === 0) return undefined;
      at += length;
      const memory = new LentMemory(chunk);
      const lent = await memory.lend(0, length);
      memory.drop();
      return lent;
    },
    cancel: () => Promise.resolve(),
  };
}
