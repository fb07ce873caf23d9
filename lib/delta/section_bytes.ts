import { cannot, CorruptError } from "../oci/error.ts";

/** Writes a section of a delta: bytes and numbers. */
export class SectionWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  /** The bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** What was written so far, without a copy: valid until more is written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Writes one byte. */
  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Writes a number of up to 53 bits, seven bits a byte, the lowest first; all bytes but the last have bit 7 set. */
  number(value: number): void {
    while (value > 127) {
      this.byte(value % 128 | 128);
      value = Math.floor(value / 128);
    }
    this.byte(value);
  }

  /** Writes bytes as they are. */
  raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** @returns what was written */
  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice();
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.bytes);
    this.#bytes = grown;
  }
}

/** Reads a section of a recipe. Every method throws a `CorruptError` where the section ends too early. */
export class SectionReader {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #at = 0;

  /** @param name names the section in errors */
  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  /** The bytes that were not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    if (this.#at === this.#bytes.length) throw this.#error("it ends too early");
    return this.#bytes[this.#at++]!;
  }

  /** Reads a number that is at most `max`. */
  number(max: number): number {
    let [value, factor] = [0, 1];
    for (let count = 0; count < 8; count++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) {
        if (value > max) throw this.#error(`${value} is more than ${max}`);
        return value;
      }
      factor *= 128;
    }
    throw this.#error("a number has more than eight bytes");
  }

  /** Reads bytes as they are, without a copy. */
  raw(count: number): Uint8Array {
    if (count > this.left) throw this.#error("it ends too early");
    return this.#bytes.subarray(this.#at, this.#at += count);
  }

  #error(reason: string): CorruptError {
    return new CorruptError(cannot(`read the section ${this.#name} of the recipe`, reason));
  }
}
