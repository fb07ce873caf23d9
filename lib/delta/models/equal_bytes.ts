/** Compares bytes of one buffer, four at a time. */
export class EqualBytes {
  readonly #bytes: Uint8Array;
  /** The same buffer. */
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Counts how many bytes from two indices on are equal, at most `most`. */
  count(first: number, second: number, most: number): number {
    const [bytes, view] = [this.#bytes, this.view];
    let count = 0;
    while (count + 4 <= most && view.getInt32(first + count, true) === view.getInt32(second + count, true)) count += 4;
    while (count < most && bytes[first + count] === bytes[second + count]) count++;
    return count;
  }
}
