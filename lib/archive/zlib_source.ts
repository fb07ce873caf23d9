import type { Buffer } from "node:buffer";
import type { Transform } from "node:stream";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { CorruptError } from "../oci/error.ts";

/** How much is compressed or decompressed at a time, in bytes. */
export const CHUNK_BYTES = 1024 * 1024;

/** Sends bytes through a stream of node:zlib, and takes input only as fast as output is read. */
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
   * @param transform counts in `bytesWritten` what it has consumed
   * @param what names the bytes in errors
   */
  constructor(
    input: Pick<ByteReader, "read" | "cancel">,
    transform: Transform & { readonly bytesWritten: number },
    what: string,
  ) {
    this.#input = input;
    this.#transform = transform;
    this.#what = what;
    // Without a listener an error between two reads would end the process; the iterator reports it on the next read.
    transform.on("error", () => {});
    this.#output = transform[Symbol.asyncIterator]();
  }

  /** When the output has ended: the input that was taken but lies behind the end of the compressed data. */
  get leftOver(): Uint8Array {
    const count = this.#fed - this.#transform.bytesWritten;
    return this.#lastPiece.subarray(this.#lastPiece.length - count);
  }

  /** @throws {CorruptError} when the data is damaged, or cut short; and whatever the input throws */
  async read(): Promise<Uint8Array | undefined> {
    if (!this.#isPumping) {
      this.#isPumping = true;
      this.#pump();
    }
    try {
      const { done, value } = await this.#output.next();
      if (done) {
        // A piece that is on its way belongs to whoever reads on behind this data.
        this.#isOver = true;
        await this.#taking;
        return undefined;
      }
      return new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
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
      // Empty, but at the end of the compressed data: then two pieces may be left over.
      const { leftOver } = this;
      this.#fed += piece.length;
      this.#lastPiece = leftOver.length === 0 ? piece : concat(leftOver, piece);
      return piece;
    });
    return await this.#taking;
  }

  // The callback comes when the piece was dealt with, which waits for its output to be read. False: it is over.
  #write(piece: Uint8Array): Promise<boolean> {
    return new Promise((resolve) =>
      this.#transform.write(piece, (error) => resolve(error === null || error === undefined))
    );
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
