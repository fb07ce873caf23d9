import { free } from "../bytes/lent_chunks.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** A gzip stream that is damaged, or no gzip stream at all. */
export class DeflateError extends CorruptError {
}

/** Zero bytes after the end, so that the decoding of one token needs no check. */
const MARGIN = 16;

/** Reads bits (RFC 1951 section 3.1.1) of a stream. Decoding loops use the fields, everything else the methods. */
export class BitInput {
  bytes = new Uint8Array(MARGIN);
  /** The index of the next byte of `bytes`. */
  at = 0;
  /** The end of what was received. */
  end = 0;
  /** The next bits, and how many there are. */
  bits = 0;
  bitCount = 0;
  /** `true` when nothing more follows `end`. */
  isLast = false;
  readonly #source: AsyncIterator<Uint8Array>;
  /** Bytes before the first one of `bytes`. */
  #origin = 0;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** Bytes that were received and not taken, without those of `bits`. */
  get available(): number {
    return this.end - this.at;
  }

  /** The bits that were taken so far. */
  get position(): number {
    return 8 * (this.#origin + this.at) - this.bitCount;
  }

  /** Receives until at least `count` bytes are available, or the stream has ended. */
  async need(count: number): Promise<void> {
    // The bytes before `at` may go, so that `alignToByte` could not give back those that `bits` has taken ahead.
    this.at -= this.bitCount >> 3;
    this.bitCount &= 7;
    this.bits &= (1 << this.bitCount) - 1;
    while (this.available < count && !this.isLast) {
      const { done, value } = await this.#source.next();
      if (done) this.isLast = true;
      else this.#append(value);
    }
  }

  /** Gives up the memory of what was received. No more is read. */
  free(): void {
    free(this.bytes);
  }

  // A chunk is only valid until the next one is asked for. The memory is used again: a new one for each chunk would be
  // garbage as large as the stream.
  #append(chunk: Uint8Array): void {
    if (this.end + chunk.length + MARGIN > this.bytes.length) this.#makeRoom(chunk.length + MARGIN);
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
    this.bytes.fill(0, this.end, this.end + MARGIN);
  }

  #makeRoom(count: number): void {
    const { bytes, available } = this;
    if (2 * available + count > bytes.length) {
      this.bytes = new Uint8Array(2 * available + count);
      this.bytes.set(bytes.subarray(this.at, this.end));
      free(bytes);
    } else {
      bytes.copyWithin(0, this.at, this.end);
    }
    this.#origin += this.at;
    [this.at, this.end] = [0, available];
  }

  /** Takes up to 16 bits. Beyond the end they are zero: `checkEnd` notices. */
  take(count: number): number {
    this.fill();
    const value = this.bits & ((1 << count) - 1);
    this.skip(count);
    return value;
  }

  /** Makes at least 25 bits available. */
  fill(): void {
    while (this.bitCount <= 24) {
      this.bits |= (this.at < this.bytes.length ? this.bytes[this.at]! : 0) << this.bitCount;
      this.at++;
      this.bitCount += 8;
    }
  }

  skip(count: number): void {
    this.bits >>>= count;
    this.bitCount -= count;
  }

  /** Takes the bits before the next byte boundary, and gives back the whole bytes after it. */
  alignToByte(): number {
    const padding = this.take(this.bitCount & 7);
    this.at -= this.bitCount >> 3;
    this.bits = this.bitCount = 0;
    return padding;
  }

  /** @throws {DeflateError} when more was taken than there is */
  checkEnd(): void {
    if (this.at - (this.bitCount >> 3) > this.end) {
      throw new DeflateError(cannot("read the gzip stream", "it ends too early"));
    }
  }
}
