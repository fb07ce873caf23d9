import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";

const PAGE_BITS = 16;
/** Size of a page in bytes. */
const PAGE_BYTES = 1 << PAGE_BITS;

/** Reads scratch space at random positions through a cache of pages, the least recently used of which is dropped. */
export class PagedBytes {
  readonly size: number;
  readonly #source: ReadableBytes;
  readonly #maxPages: number;
  readonly #pages = new Map<number, Uint8Array>();
  #lastNumber = -1;
  #lastPage: Uint8Array = new Uint8Array(0);

  /** @param cacheBytes size of the cache in bytes */
  constructor(source: ReadableBytes, cacheBytes: number) {
    this.#source = source;
    this.size = source.size;
    this.#maxPages = Math.max(2, Math.floor(cacheBytes / PAGE_BYTES));
  }

  /** Returns the page with a number: the bytes from `number * PAGE_BYTES`; the last one may be shorter. */
  page(number: number): Uint8Array {
    if (number === this.#lastNumber) return this.#lastPage;
    let page = this.#pages.get(number);
    if (page !== undefined) this.#pages.delete(number);
    else {
      page = this.#pages.size >= this.#maxPages ? this.#dropOldest() : new Uint8Array(PAGE_BYTES);
      const start = number * PAGE_BYTES;
      const filled = this.#source.readAt(start, page.subarray(0, Math.min(PAGE_BYTES, this.size - start)));
      if (filled < PAGE_BYTES) page = page.subarray(0, filled);
    }
    this.#pages.set(number, page);
    this.#lastNumber = number;
    this.#lastPage = page;
    return page;
  }

  /** Returns one byte. */
  at(position: number): number {
    return this.page(Math.floor(position / PAGE_BYTES))[position % PAGE_BYTES]!;
  }

  /** Counts how many bytes from `position`, but not from `end`, equal the first ones of `bytes`. */
  matchForward(position: number, end: number, bytes: Uint8Array): number {
    const limit = Math.min(bytes.length, end - position);
    let matched = 0;
    while (matched < limit) {
      const at = position + matched;
      const page = this.page(Math.floor(at / PAGE_BYTES));
      const offset = at % PAGE_BYTES;
      const length = Math.min(page.length - offset, limit - matched);
      let i = 0;
      while (i < length && page[offset + i] === bytes[matched + i]) i++;
      matched += i;
      if (i < length || length === 0) break;
    }
    return matched;
  }

  /** Counts how many bytes before `position`, but not before `start`, equal the last ones of `bytes`. */
  matchBackward(position: number, start: number, bytes: Uint8Array): number {
    const limit = Math.min(bytes.length, position - start);
    let matched = 0;
    while (matched < limit) {
      const at = position - matched - 1;
      const page = this.page(Math.floor(at / PAGE_BYTES));
      const offset = at % PAGE_BYTES;
      const length = Math.min(offset + 1, limit - matched);
      const last = bytes.length - 1 - matched;
      let i = 0;
      while (i < length && page[offset - i] === bytes[last - i]) i++;
      matched += i;
      if (i < length) break;
    }
    return matched;
  }

  /** Gives up the memory of the cache, which fills again when bytes are read. */
  free(): void {
    for (const page of this.#pages.values()) free(page);
    this.#pages.clear();
    this.#lastNumber = -1;
    this.#lastPage = new Uint8Array(0);
  }

  #dropOldest(): Uint8Array {
    const [[number, page]] = this.#pages as unknown as [[number, Uint8Array]];
    this.#pages.delete(number);
    return page.length === PAGE_BYTES ? page : new Uint8Array(PAGE_BYTES);
  }
}
