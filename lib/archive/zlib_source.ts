import type { Buffer } from "node:buffer";
import type { Transform } from "node:stream";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { joinChunks } from "../bytes/join_chunks.ts";
import { free } from "../bytes/lent_chunks.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** Size of the chunks that are compressed or decompressed, in bytes. */
export const CHUNK_BYTES = 1024 * 1024;

/** Passes bytes through a node:zlib stream. Input is read only as fast as output is consumed. */
export class TransformSource implements ByteSource {
  readonly #input: Pick<ByteReader, "read" | "cancel">;
  readonly #transform: Transform & { readonly bytesWritten: number };
  readonly #output: AsyncIterator<Buffer>;
  readonly #what: string;
  #inputError: { readonly error: unknown } | undefined;
  #isPumping = false;
  #isOver = false;
  #taking: Promise<Uint8Array | undefined> | undefined;
  #fed = 0;
  #lastPiece: Uint8Array = new Uint8Array(0);

  /**
   * @param transform the zlib stream, whose `bytesWritten` counts the input that it has consumed
   * @param what name of the input in errors
   */
  constructor(
    input: Pick<ByteReader, "read" | "cancel">,
    transform: Transform & { readonly bytesWritten: number },
    what: string,
  ) {
    this.#input = input;
    this.#transform = transform;
    this.#what = what;
    // Without a listener, an error between two reads would end the process. The iterator reports it on the next read.
    transform.on("error", () => {});
    this.#output = transform[Symbol.asyncIterator]();
  }

  /** At the end of the output: input that was already read but lies behind the compressed data. */
  get leftOver(): Uint8Array {
    const count = this.#fed - this.#transform.bytesWritten;
    return this.#lastPiece.subarray(this.#lastPiece.length - count);
  }

  /** @throws {CorruptError} when the data is damaged or cut off. Errors of the input are thrown unchanged */
  async read(): Promise<Uint8Array | undefined> {
    if (!this.#isPumping) {
      this.#isPumping = true;
      this.#pump();
    }
    try {
      const { done, value } = await this.#output.next();
      if (done) {
        // A pending read of the input belongs to the data behind the compressed data: it becomes part of `leftOver`.
        this.#isOver = true;
        await this.#taking;
        return undefined;
      }
      return new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
    } catch (cause) {
      await this.#input.cancel(cause);
      if (this.#inputError !== undefined) throw this.#inputError.error;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CorruptError(cannot(`decompress ${this.#what}`, reason), { cause });
    }
  }

  async cancel(reason?: unknown): Promise<void> {
    this.#transform.destroy();
    await this.#input.cancel(reason);
  }

  async #pump(): Promise<void> {
    try {
      for (let piece = await this.#take(); piece !== undefined; piece = await this.#take()) {
        if (this.#isOver || !await this.#write(piece) || this.#isOver) return;
      }
      this.#transform.end();
    } catch (error) {
      this.#inputError = { error };
      this.#transform.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #take(): Promise<Uint8Array | undefined> {
    this.#taking = this.#input.read(CHUNK_BYTES).then((piece) => {
      if (piece === undefined) return undefined;
      // `leftOver` is not empty only at the end of the compressed data. Then two chunks may be left over.
      const { leftOver } = this;
      this.#fed += piece.length;
      this.#lastPiece = leftOver.length === 0 ? piece : joinChunks([leftOver, piece]);
      return piece;
    });
    return await this.#taking;
  }

  // The callback runs once the chunk is processed, which waits for its output to be read. Resolves to false on an error.
  #write(piece: Uint8Array): Promise<boolean> {
    return new Promise((resolve) =>
      this.#transform.write(piece, (error) => resolve(error === null || error === undefined))
    );
  }
}

/**
 * Gives up the memory of a piece that a `TransformSource` has returned, and of those before it, without waiting for a
 * collection of garbage; none of them may be used any more. Memory that the next piece will share is kept.
 *
 * @param chunkBytes the `chunkSize` of the zlib stream; at least 64 KiB, for which zlib has memory of their own
 */
export function freePiece(piece: Uint8Array, chunkBytes: number): void {
  const { buffer, byteOffset, length } = piece;
  if (buffer.byteLength === chunkBytes && byteOffset + length === chunkBytes) free(piece);
}
