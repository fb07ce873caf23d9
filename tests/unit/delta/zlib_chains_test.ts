import { ZlibChains, type ZlibSearch } from "../../../lib/delta/models/zlib_chains.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeText } from "../../support/delta_fixture.ts";
import { Random } from "../../support/random.ts";

const WINDOW = 32_768;
const MAX_DISTANCE = WINDOW - 262;
const LENGTH = 150_000;
const SLIDE = 65_536;

// The search as zlib writes it: every position of the chain is compared, up to the limit of the level.
class PlainChains {
  readonly #bytes: Uint8Array;
  readonly #limits: ZlibSearch;
  readonly #heads = new Map<number, number>();
  readonly #before: number[] = [];
  #hashed = 0;

  constructor(bytes: Uint8Array, limits: ZlibSearch) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  search(at: number, known: number): readonly [length: number, distance: number] {
    const { chain, good, nice, far } = this.#limits;
    const bytes = this.#bytes;
    for (; this.#hashed < at; this.#hashed++) {
      this.#before[this.#hashed] = this.#heads.get(this.#hash(this.#hashed)) ?? -1;
      this.#heads.set(this.#hash(this.#hashed), this.#hashed);
    }
    const longest = Math.min(258, bytes.length - at);
    let [best, distance, candidate] = [known, 0, this.#heads.get(this.#hash(at)) ?? -1];
    for (let tries = known >= good ? chain >> 2 : chain; tries > 0 && longest >= 3; tries--) {
      const isNearest = candidate === this.#heads.get(this.#hash(at));
      if (candidate <= 0 || at - candidate > MAX_DISTANCE - (isNearest ? 0 : 1)) break;
      let length = 0;
      while (length < longest && bytes[candidate + length] === bytes[at + length]) length++;
      if (length > best) [best, distance] = [length, at - candidate];
      if (best >= Math.min(nice, longest)) break;
      candidate = this.#before[candidate]!;
    }
    return distance === 0 || best === 3 && distance > far ? [2, 0] : [best, distance];
  }

  #hash(at: number): number {
    const shift = Math.ceil(this.#limits.hashBits / 3);
    const [a, b, c] = this.#bytes.subarray(at, at + 3) as unknown as [number, number, number];
    return (a << (2 * shift) ^ b << shift ^ c) & ((1 << this.#limits.hashBits) - 1);
  }
}

const INPUTS: Readonly<Record<string, () => Uint8Array>> = {
  "text": () => new TextEncoder().encode(makeText(5, LENGTH)),
  "bytes of two values": () => new Random(6).bytes(LENGTH).map((byte) => byte & 1),
  "bytes of twelve values": () => new Random(7).bytes(LENGTH).map((byte) => byte % 12),
  "a run with few breaks": () => new Random(8).bytes(LENGTH).map((byte) => byte === 0 ? 1 : 0),
  "a period near the longest distance": () => {
    const period = new Random(9).bytes(MAX_DISTANCE);
    return Uint8Array.from({ length: LENGTH }, (_, i) => period[i % period.length]! ^ (i % 5003 === 0 ? 1 : 0));
  },
};
const LEVELS: readonly ZlibSearch[] = [
  { hashBits: 15, chain: 16, good: 4, nice: 16, far: 4096 },
  { hashBits: 15, chain: 128, good: 8, nice: 128, far: 4096 },
  { hashBits: 16, chain: 128, good: 8, nice: 128, far: 4096 },
  { hashBits: 15, chain: 4096, good: 32, nice: 258, far: 4096 },
];

for (const [name, makeInput] of Object.entries(INPUTS)) {
  Deno.test(`the search finds the match of zlib in ${name}`, () => {
    const bytes = makeInput().subarray(0, LENGTH) as Uint8Array<ArrayBuffer>;
    for (const limits of LEVELS) {
      const random = new Random(10);
      const window = { bytes: bytes.slice(), length: bytes.length, origin: 0, ended: true };
      const chains = new ZlibChains(window, limits);
      const plain = new PlainChains(bytes, limits);
      let found = 0;
      for (let at = 0; at < LENGTH; at += 1 + random.next() % 160) {
        // The positions of a window decrease when it moves on.
        if (at - window.origin > SLIDE + WINDOW) {
          window.bytes.copyWithin(0, SLIDE);
          window.length -= SLIDE;
          window.origin += SLIDE;
          chains.slide(SLIDE);
        }
        const known = random.next() % 3 === 0 ? 2 + random.next() % 12 : 2;
        chains.search(at - window.origin, known);
        assertEquals([chains.length, chains.distance], [...plain.search(at, known)], `${at} ${JSON.stringify(limits)}`);
        if (chains.distance > 0) found++;
      }
      assert(found > 100, `${found} matches`);
    }
  });
}
