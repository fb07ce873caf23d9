import { ByteReader, openByteSource } from "../../bytes/byte_reader.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import type { BlobContent } from "./blob_content.ts";

/**
 * Reads a blob in chunks for an upload. The last chunk stays in memory, so that an upload that was cut in the middle of
 * it resumes there without reading the blob again.
 */
export class ChunkReader {
  readonly #content: BlobContent;
  #reader: ByteReader | undefined;
  #chunk = new Uint8Array(0);
  /** Position of the chunk's first byte. */
  #start = 0;

  constructor(content: BlobContent) {
    this.#content = content;
  }

  /**
   * Returns the bytes from a position on: at most `most`, and fewer only at the end of the blob, or where the rest of the
   * last chunk begins.
   *
   * @throws {CorruptError} when the content is shorter than it must be
   */
  async read(from: number, most: number): Promise<Uint8Array<ArrayBuffer>> {
    const end = this.#start + this.#chunk.length;
    if (from >= this.#start && from < end) return this.#chunk.subarray(from - this.#start).subarray(0, most);
    if (this.#reader === undefined || from !== end) await this.#open(from);
    const chunk = new Uint8Array(Math.min(most, this.#content.size - from));
    this.#chunk = chunk.subarray(0, 0);
    for (let filled = 0; filled < chunk.length;) {
      const piece = await this.#reader!.read(chunk.length - filled);
      if (piece === undefined) {
        const { digest, size } = this.#content;
        throw new CorruptError(cannot(`push ${digest}`, `its content has ${from + filled} bytes, not ${size}`));
      }
      chunk.set(piece, filled);
      filled += piece.length;
    }
    [this.#chunk, this.#start] = [chunk, from];
    return chunk;
  }

  /** Stops reading. */
  async close(): Promise<void> {
    await this.#reader?.cancel();
    this.#reader = undefined;
  }

  async #open(from: number): Promise<void> {
    await this.close();
    this.#reader = new ByteReader(openByteSource(await this.#content.open(from)), this.#content.digest);
  }
}
