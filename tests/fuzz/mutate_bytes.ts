import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import type { Random } from "../support/random.ts";

/** Changed bytes, and the mutation in words. */
export interface MutatedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly what: string;
}

type Mutation = (bytes: Uint8Array<ArrayBuffer>, random: Random) => Uint8Array<ArrayBuffer>;

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "bits flipped": (bytes, random) => {
    const copy = bytes.slice();
    for (let n = 1 + random.below(8); n > 0; n--) copy[placeIn(copy, random)]! ^= 1 << random.below(8);
    return copy;
  },
  "bytes set": (bytes, random) => {
    const copy = bytes.slice();
    for (let n = 1 + random.below(4); n > 0; n--) {
      copy[placeIn(copy, random)] = random.pick([0, 1, 0x2f, 0x30, 0x7f, 0x80, 0xff, random.below(256)]);
    }
    return copy;
  },
  "cut off": (bytes, random) => bytes.slice(0, placeIn(bytes, random)),
  "a piece removed": (bytes, random) => {
    const [start, end] = rangeIn(bytes, random);
    return joinChunks([bytes.subarray(0, start), bytes.subarray(end)]);
  },
  "a piece doubled": (bytes, random) => {
    const [start, end] = rangeIn(bytes, random);
    return joinChunks([bytes.subarray(0, end), bytes.subarray(start)]);
  },
  "a piece set to zeros": (bytes, random) => bytes.slice().fill(0, ...rangeIn(bytes, random)),
  "two pieces swapped": (bytes, random) => {
    const copy = bytes.slice();
    const length = 1 + random.below(Math.min(600, bytes.length / 2));
    const [a, b] = [random.below(bytes.length - length), random.below(bytes.length - length)];
    copy.set(bytes.subarray(b, b + length), a);
    copy.set(bytes.subarray(a, a + length), b);
    return copy;
  },
  "bytes inserted": (bytes, random) => {
    const at = placeIn(bytes, random);
    return joinChunks([bytes.subarray(0, at), random.bytes(1 + random.below(600)), bytes.subarray(at)]);
  },
  "bytes after the end": (bytes, random) => joinChunks([bytes, random.bytes(1 + random.below(40))]),
  "bytes before the start": (bytes, random) => joinChunks([random.bytes(1 + random.below(20)), bytes]),
  "repeated": (bytes) => joinChunks([bytes, bytes]),
  "a binary number changed": (bytes, random) => {
    const copy = bytes.slice();
    const view = new DataView(copy.buffer);
    const value = random.pick([0, 1, 0xff, 0xffff, 0x7fff, 0xffffffff, 0x80000000, random.next()]);
    const at = placeIn(copy, random);
    if (at + 4 <= copy.length) random.chance(0.5) ? view.setUint32(at, value, true) : view.setUint16(at, value, true);
    return copy;
  },
};

/** Applies one random mutation to bytes. */
export function mutateBytes(bytes: Uint8Array<ArrayBuffer>, random: Random): MutatedBytes {
  const what = random.pick(Object.keys(MUTATIONS));
  return { bytes: bytes.length === 0 ? random.bytes(3) : MUTATIONS[what]!(bytes, random), what };
}

// Chooses a position, preferably at the start, the end, or a block boundary, where formats have their fields.
function placeIn(bytes: Uint8Array, random: Random): number {
  const { length } = bytes;
  switch (random.below(6)) {
    case 0:
      return Math.min(length - 1, random.below(40));
    case 1:
      return Math.max(0, length - 1 - random.below(40));
    case 2:
      return Math.min(
        length - 1,
        random.below(Math.ceil(length / 512)) * 512 + random.pick([0, 0, 124, 148, 156, 257]),
      );
    case 3:
      return Math.min(length - 1, random.below(2000));
    default:
      return random.below(length);
  }
}

function rangeIn(bytes: Uint8Array, random: Random): [start: number, end: number] {
  const start = placeIn(bytes, random);
  const length = random.pick([1, 1 + random.below(16), 512, 1024, random.below(bytes.length)]);
  return [start, Math.min(bytes.length, start + length)];
}
