import { type Digest, splitDigest } from "../oci/digest.ts";
import { parseDigestWord } from "./digest_set.ts";
import { cannot, CrpeError } from "../oci/error.ts";

// Words of a sha256.
const WORDS = 8;
// Digests of a page: 132 KiB.
const PAGE = 4096;

/** Some digests of sha256. */
interface Page {
  readonly words: Uint32Array;
  readonly isMarked: Uint8Array;
}

/** A list of digests that can be marked. It takes 33 bytes for each sha256. */
export class DigestList {
  readonly #pages: Page[] = [];
  #count = 0;
  #last: Digest | "" = "";
  /** The digests of other algorithms that are not marked. */
  readonly #others = new Set<Digest>();

  /** Adds a digest. @throws {Error} when one of sha256 is not added in order, which is that of `listBlobs` */
  add(digest: Digest): void {
    const { algorithm, hex } = splitDigest(digest);
    if (algorithm !== "sha256") {
      this.#others.add(digest);
      return;
    }
    const at = this.#count++ % PAGE;
    if (at === 0) this.#pages.push({ words: new Uint32Array(PAGE * WORDS), isMarked: new Uint8Array(PAGE) });
    const { words } = this.#pages.at(-1)!;
    for (let word = 0; word < WORDS; word++) words[at * WORDS + word] = parseDigestWord(hex, 8 * word);
    // What is not found by its mark would count as garbage.
    if (digest <= this.#last) throw new CrpeError(cannot(`list ${digest}`, `it comes after ${this.#last}`));
    this.#last = digest;
  }

  /** Marks a digest, if it is in the list. */
  mark(digest: Digest): void {
    const { algorithm, hex } = splitDigest(digest);
    if (algorithm !== "sha256") {
      this.#others.delete(digest);
      return;
    }
    let [low, high] = [0, this.#count - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const { words, isMarked } = this.#pages[Math.floor(middle / PAGE)]!;
      const at = middle % PAGE;
      let difference = 0;
      for (let word = 0; word < WORDS && difference === 0; word++) {
        difference = parseDigestWord(hex, 8 * word) - words[at * WORDS + word]!;
      }
      if (difference === 0) {
        isMarked[at] = 1;
        return;
      }
      if (difference > 0) low = middle + 1;
      else high = middle - 1;
    }
  }

  /** Yields the digests that were not marked. */
  *unmarked(): Generator<Digest> {
    for (let index = 0; index < this.#count; index++) {
      const { words, isMarked } = this.#pages[Math.floor(index / PAGE)]!;
      const at = index % PAGE;
      if (isMarked[at] === 0) yield formatDigest(words.subarray(at * WORDS, (at + 1) * WORDS));
    }
    yield* this.#others;
  }
}

function formatDigest(words: Uint32Array): Digest {
  return `sha256:${Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("")}`;
}
