import type { Buffer } from "node:buffer";
import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { CorruptError } from "../oci/error.ts";
import { ByteReader, type ByteSource, openByteSource } from "./byte_reader.ts";
import { ZstdFrames } from "./zstd_frames.ts";

/** How a bundle's tar is compressed. */
export type Compression = "gzip" | "zstd" | "none";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Reads what a file holds once it is decompressed: gzip (RFC 1952, several members too), zstd (RFC 8878) or neither, told
 * apart by the first bytes. Input is taken only as fast as output is read.
 *
 * @param what names the file in errors
 * @throws {CorruptError} from the reader: a file cut short, a wrong check sum, other bytes behind the end
 */
export async function decompress(stream: ReadableStream<Uint8Array>, what = "the bundle"): Promise<ByteReader> {
  const input = new ByteReader(openByteSource(stream), what);
  try {
    switch (tellCompression(await input.peek(4))) {
      case "gzip":
        // Member after member is what createGunzip reads; zero bytes behind the last it takes for padding, as gzip does.
        return new ByteReader(new TransformSource(input, createGunzip({ chunkSize: CHUNK_BYTES }), what), what);
      case "zstd":
        return new ByteReader(new ZstdSource(input, what), what);
      case "none":
        return input;
    }
  } catch (error) {
    await input.cancel(error);
    throw error;
  }
}

/** Tells by a file's first four bytes how it is compressed. */
export function tellCompression(head: Uint8Array): Compression {
  const [a = 0, b = 0, c = 0, d = 0] = head;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (b === 0xb5 && c === 0x2f && d === 0xfd && a === 0x28) return "zstd";
  // RFC 8878, 3.1.2: a skippable frame may come first (pzstd writes one).
  if ((a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return "zstd";
  return "none";
}

/** Sends bytes through a stream of node:zlib. */
class TransformSource implements ByteSource {
  readonly #input: Pick<ByteReader, "read" | "cancel">;
  readonly #transform: Transform;
  readonly #output: AsyncIterator<Buffer>;
  readonly #what: string;
  #inputError: { readonly error: unknown } | undefined;
  #isPumping = false;

  constructor(input: Pick<ByteReader, "read" | "cancel">, transform: Transform, what: string) {
    this.#input = input;
    this.#transform = transform;
    this.#what = what;
    // Without a listener an error between two reads would end the process; the iterator reports it on the next read.
    transform.on("error", () => {});
    this.#output = transform[Symbol.asyncIterator]();
  }

  async read(): Promise<Uint8Array | undefined> {
    if (!this.#isPumping) {
      this.#isPumping = true;
      this.#pump();
    }
    try {
      const { done, value } = await this.#output.next();
      return done ? undefined : new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
    } catch (cause) {
      await this.#input.cancel(cause);
      if (this.#inputError !== undefined) throw this.#inputError.error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CorruptError(`Cannot decompress ${this.#what}: ${reason}`, { cause });
    }
  }

  async cancel(reason?: unknown): Promise<void> {
    this.#transform.destroy();
    await this.#input.cancel(reason);
  }

  async #pump(): Promise<void> {
    try {
      for (let piece = await this.#input.read(CHUNK_BYTES); piece !== undefined;) {
        if (!await this.#write(piece)) return;
        piece = await this.#input.read(CHUNK_BYTES);
      }
      this.#transform.end();
    } catch (error) {
      this.#inputError = { error };
      this.#transform.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  // The callback comes when the piece was dealt with, which waits for its output to be read. False: it is over.
  #write(piece: Uint8Array): Promise<boolean> {
    return new Promise((resolve) =>
      this.#transform.write(piece, (error) => resolve(error === null || error === undefined))
    );
  }
}

/** Decompresses one frame after the other. */
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
