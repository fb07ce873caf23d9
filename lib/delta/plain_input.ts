import { crc32 } from "node:zlib";
import type { MemberWindow } from "./member_window.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** Fills a window with the plain bytes of one member after the other. */
export class PlainInput {
  /** The checksum of the plain bytes of the member so far. */
  crc = 0;
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #window: MemberWindow;
  #chunk: Uint8Array = new Uint8Array();
  #memberLeft = 0;

  constructor(source: AsyncIterator<Uint8Array>, window: MemberWindow) {
    this.#source = source;
    this.#window = window;
  }

  /** `true` when every byte of the member was predicted. */
  get isAtEnd(): boolean {
    return this.#window.ended && this.#window.at === this.#window.length;
  }

  /** A member of so many plain bytes starts. */
  begin(size: number): void {
    this.crc = 0;
    this.#memberLeft = size;
    this.#window.reset();
    this.#window.ended = size === 0;
  }

  /** Reads until the window is ready, and then what has been received and fits. */
  async fill(): Promise<void> {
    const window = this.#window;
    const from = window.length;
    while (!window.ended && window.room > 0) {
      if (this.#chunk.length === 0) {
        if (window.isReady) break;
        await this.#receive();
      }
      const count = Math.min(this.#chunk.length, window.room, this.#memberLeft);
      window.bytes.set(this.#chunk.subarray(0, count), window.length);
      window.length += count;
      this.#chunk = this.#chunk.subarray(count);
      this.#memberLeft -= count;
      window.ended = this.#memberLeft === 0;
    }
    this.crc = crc32(window.bytes.subarray(from, window.length), this.crc);
  }

  /** @returns whether no plain byte is left */
  async isLast(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return true;
      this.#chunk = value;
    }
    return false;
  }

  async #receive(): Promise<void> {
    if (await this.isLast()) throw new CorruptError(cannot("rebuild the gzip stream", "there are too few plain bytes"));
  }
}
