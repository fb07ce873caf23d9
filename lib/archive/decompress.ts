import { constants, createZstdDecompress, gunzipSync } from "node:zlib";
import { type BundleSource, ByteReader, type ByteSource, openByteSource } from "../bytes/byte_reader.ts";
import { GzipSource } from "./gzip_reader.ts";
import { CHUNK_BYTES, TransformSource } from "./zlib_source.ts";
import { ZstdFrames } from "./zstd_frames.ts";

/** Compression of a bundle's tar. */
type Compression = "gzip" | "zstd" | "none";

/** A file opened for decompressed reading. */
interface Decompressed {
  readonly compression: Compression;
  readonly reader: ByteReader;
  /**
   * Whether the first member has the extra field in which crpe writes the size of the documents. Known once the first bytes
   * were read.
   */
  readonly hasDocumentSize: () => boolean;
}

/**
 * Opens a gzip (RFC 1952, also of several members), zstd (RFC 8878) or uncompressed file. The first bytes decide which.
 * Input is read only as fast as output is consumed. Skipped bytes of a seekable source are not read when the file is a
 * plain tar or a bundle that crpe packed.
 *
 * @param what name of the file in errors
 * @param chunkBytes size of the pieces of a gzip file. Small ones leave less memory to be collected
 * @throws {CorruptError} from the reader, when the file is cut off, a checksum is wrong or other data follows the end
 */
export async function decompress(
  source: BundleSource | ByteSource,
  what = "the bundle",
  chunkBytes = CHUNK_BYTES,
): Promise<Decompressed> {
  const input = new ByteReader(source instanceof ReadableStream ? openByteSource(source) : source, what);
  try {
    const compression = detectCompression(await input.peek(4));
    switch (compression) {
      case "gzip": {
        const gzip = new GzipSource(input, what, chunkBytes);
        return { compression, reader: new ByteReader(gzip, what), hasDocumentSize: () => gzip.hasDocumentSize };
      }
      case "zstd":
        return { compression, reader: new ByteReader(new ZstdSource(input, what), what), hasDocumentSize: () => false };
      case "none":
        return { compression, reader: input, hasDocumentSize: () => false };
    }
  } catch (error) {
    await input.cancel(error);
    throw error;
  }
}

/** Detects the compression of a file from its first four bytes. */
export function detectCompression(head: Uint8Array): Compression {
  const [a = 0, b = 0, c = 0, d = 0] = head;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (b === 0xb5 && c === 0x2f && d === 0xfd && a === 0x28) return "zstd";
  // RFC 8878, 3.1.2: a skippable frame may come first (pzstd writes one).
  if ((a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return "zstd";
  return "none";
}

/** Decompresses the first bytes of a gzip file, as far as they go; `undefined` when they are damaged. */
export function decompressHead(head: Uint8Array): Uint8Array | undefined {
  try {
    return gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH });
  } catch {
    return undefined;
  }
}

/** Decompresses zstd frames one after the other. */
class ZstdSource implements ByteSource {
  readonly #input: ByteReader;
  readonly #frames: ZstdFrames;
  readonly #what: string;
  #frame: TransformSource | undefined;

  constructor(input: ByteReader, what: string) {
    this.#input = input;
    this.#frames = new ZstdFrames(input, what);
    this.#what = what;
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const piece = await this.#frame?.read();
      if (piece !== undefined) return piece;
      const frame = await this.#frames.next();
      if (frame === undefined) return undefined;
      this.#frame = new TransformSource(frame, createZstdDecompress({ chunkSize: CHUNK_BYTES }), this.#what);
    }
  }

  async cancel(reason?: unknown): Promise<void> {
    await this.#frame?.cancel(reason);
    await this.#input.cancel(reason);
  }
}
