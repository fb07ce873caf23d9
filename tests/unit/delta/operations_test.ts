import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import type { ByteSource } from "../../../lib/bytes/byte_reader.ts";
import { OperationWriter } from "../../../lib/delta/operation_writer.ts";
import {
  applyOperations,
  MAX_REPLACED_BYTES,
  OPERATION_STREAMS,
  type OperationStreams,
} from "../../../lib/delta/operations.ts";
import { PlainIndex } from "../../../lib/delta/plain_index.ts";
import { diffPlain } from "../../../lib/delta/tar_diff.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertLess, assertRejects } from "../../support/assert.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import { Random } from "../../support/random.ts";

const SEARCH = { window: 16, step: 8, leastStep: 8 };

function randomBytes(seed: number, length: number): Uint8Array {
  const random = new Random(seed);
  return Uint8Array.from({ length }, () => random.next() & 255);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

function sourceOf(bytes: Uint8Array | readonly number[]): ByteSource {
  // One byte at a time, so that every number and range is cut.
  let at = 0;
  const all = Uint8Array.from(bytes);
  return {
    read: () => Promise.resolve(at < all.length ? all.slice(at, ++at) : undefined),
    cancel: () => Promise.resolve(),
  };
}

async function apply(
  streams: Partial<OperationStreams<Uint8Array | readonly number[]>>,
  old: Uint8Array,
  size: number,
) {
  const sources = Object.fromEntries(OPERATION_STREAMS.map((name) => [name, sourceOf(streams[name] ?? [])]));
  const input = {
    streams: sources as unknown as OperationStreams<ByteSource>,
    bases: memoryScratch(old),
    plainSize: size,
  };
  const pieces: Uint8Array[] = [];
  for await (const piece of applyOperations(input)) pieces.push(piece.slice());
  return join(...pieces);
}

async function diff(old: Uint8Array, target: Uint8Array, ranges = [{ start: 0, end: old.length }]) {
  const index = await PlainIndex.build(memoryScratch(old), SEARCH);
  const [literals, differences] = [memoryScratch(), memoryScratch()];
  const selected = join(...ranges.map(({ start, end }) => old.subarray(start, end)));
  const sink = new OperationWriter({ ranges, old: memoryScratch(selected), literals, differences });
  await diffPlain(index, memoryScratch(target), { ranges, sink });
  const streams = { ...sink.finish(), literals: literals.bytes, differences: differences.bytes };
  return { streams, selected };
}

const OLD = randomBytes(1, 20_000);
const [A, B, C] = [OLD.subarray(0, 5000), OLD.subarray(5000, 12_000), OLD.subarray(12_000)];
const NEW = randomBytes(2, 3000);
const CASES: readonly (readonly [string, Uint8Array, Uint8Array, number])[] = [
  ["nothing", OLD, new Uint8Array(0), 0],
  ["equal bytes", OLD, OLD, 0],
  ["no bytes in common", OLD, NEW, 3000],
  ["nothing to copy from", new Uint8Array(0), NEW, 3000],
  ["bytes put in", OLD, join(A, NEW, B, C), 3000],
  ["bytes taken out", OLD, join(A, C), 0],
  ["parts that changed places", OLD, join(C, A, B), 0],
  ["a part twice", OLD, join(A, B, B, C), 0],
  ["fewer bytes than a window", OLD, OLD.subarray(0, 10), 10],
  ["changed single bytes", OLD, OLD.map((byte, i) => i % 100 === 50 ? byte + 1 : byte), 200],
  ["zeros", new Uint8Array(9000), new Uint8Array(20_000), 2000],
  ["a long replaced range", OLD, join(A, randomBytes(3, 7000), C), 7000],
];

for (const [title, old, target, most] of CASES) {
  Deno.test(`a diff of ${title} rebuilds the new bytes`, async () => {
    const { streams } = await diff(old, target);
    assertEquals(await apply(streams, old, target.length), target);
    assertLess(streams.literals.length + streams.differences.length, most + 1);
  });
}

Deno.test("a diff copies from the given ranges only, and places them one after the other", async () => {
  const old = join(A, B, C);
  const ranges = [{ start: 0, end: A.length }, { start: A.length + B.length, end: old.length }];
  const { streams, selected } = await diff(old, join(C, B, A), ranges);
  assertEquals(selected, join(A, C));
  assertEquals(await apply(streams, selected, old.length), join(C, B, A));
  assertEquals(streams.literals.length, B.length);
});

Deno.test("replaced bytes are written as differences to the old ones", async () => {
  const target = OLD.map((byte, i) => i % 1000 >= 990 ? byte + 7 : byte);
  const { streams } = await diff(OLD, target);
  assertEquals(new Set(streams.differences), new Set([7]));
  assertEquals(streams.literals.length, target.length - OLD.length + 10);
});

Deno.test("a diff over many windows finds what moved far", async () => {
  const old = randomBytes(5, 300_000);
  const index = await PlainIndex.build(memoryScratch(old), { window: 24, step: 12, leastStep: 12 });
  // Larger than a window of the new bytes, which is 8 MiB.
  const parts = Array.from({ length: 40 }, (_, i) => old.subarray((i * 7919) % 90_000));
  const target = joinChunks(parts);
  const [literals, differences] = [memoryScratch(), memoryScratch()];
  const ranges = [{ start: 0, end: old.length }];
  const sink = new OperationWriter({ ranges, old: memoryScratch(old), literals, differences });
  await diffPlain(index, memoryScratch(target), { ranges, sink });
  assertEquals(literals.size + differences.size, 0);
  assertLess(sink.finish().copies.length, 300);
});

// Numbers of one byte: values below 128.
const WRONG: readonly (readonly [string, Partial<OperationStreams<readonly number[]>>, number])[] = [
  ["no operations", {}, 10],
  ["an operation that makes nothing", { inserts: [0], copies: [0] }, 10],
  ["too many inserted bytes", { inserts: [11], copies: [0], literals: Array(11).fill(1) }, 10],
  ["too many copied bytes", { inserts: [0], copies: [11], jumps: [0] }, 10],
  ["too few bytes", { inserts: [5], copies: [0], literals: Array(5).fill(1) }, 10],
  ["fewer literals than inserted", { inserts: [10], copies: [0], literals: Array(9).fill(1) }, 10],
  ["more literals than inserted", { inserts: [10], copies: [0], literals: Array(11).fill(1) }, 10],
  ["more operations than bytes", { inserts: [10, 1], copies: [0, 0], literals: Array(11).fill(1) }, 10],
  ["fewer differences than replaced", { inserts: [5], copies: [5], jumps: [0], differences: [1] }, 10],
  ["a copy behind the bases", { inserts: [0], copies: [10], jumps: [40] }, 10],
  ["a copy that ends behind the bases", { inserts: [0], copies: [17], jumps: [0] }, 17],
  ["a copy before the bases", { inserts: [0], copies: [10], jumps: [1] }, 10],
  ["a jump that is missing", { inserts: [0], copies: [10] }, 10],
  ["a number that is cut", { inserts: [128], copies: [0] }, 10],
  ["a number without end", { inserts: Array(20).fill(255), copies: [0] }, 10],
  ["a number above 2^53", { inserts: [255, 255, 255, 255, 255, 255, 255, 127], copies: [0] }, 10],
];

for (const [title, streams, size] of WRONG) {
  Deno.test(`[99] operations with ${title} are refused`, async () => {
    await assertRejects(() => apply(streams, OLD.subarray(0, 16), size), CorruptError, "Cannot apply the delta: ");
  });
}

Deno.test("an insertion that is too long to be a replacement is literal", async () => {
  const length = MAX_REPLACED_BYTES + 1;
  const old = randomBytes(8, length + 32);
  const varint = [length % 128 | 128, length >> 7];
  const literals = Array<number>(length).fill(1);
  const made = await apply({ inserts: varint, copies: [32], jumps: [0], literals }, old, length + 32);
  assertEquals(made.subarray(0, length), Uint8Array.from(literals));
  assertEquals(made.subarray(length), old.subarray(length));
});

/** Operations of one byte each, of which every second one is far from the one before. */
function farCopies(count: number, distance: number): OperationStreams<readonly number[]> {
  const jumps = Array.from({ length: count }, (_, i) => i === 0 ? 0 : i % 2 === 1 ? 2 * distance : 2 * distance + 3);
  const varint = (value: number): number[] => value < 128 ? [value] : [value % 128 | 128, ...varint(value >> 7)];
  return {
    inserts: Array(count).fill(0),
    copies: Array(count).fill(1),
    jumps: jumps.flatMap(varint),
    literals: [],
    differences: [],
  };
}

Deno.test("[99] what a far copy reads of the bases is bounded by its length", async () => {
  const [count, old] = [1000, randomBytes(9, 2_000_000)];
  let read = 0;
  const bases = memoryScratch(old);
  const counted = {
    size: bases.size,
    readAt: (position: number, target: Uint8Array) => {
      read += target.length;
      return bases.readAt(position, target);
    },
  };
  const numbers = farCopies(count, 1_000_000);
  const streams = Object.fromEntries(
    OPERATION_STREAMS.map((name) => [name, sourceOf(numbers[name])]),
  ) as unknown as OperationStreams<ByteSource>;
  let made = 0;
  for await (const piece of applyOperations({ streams, bases: counted, plainSize: count })) made += piece.length;
  assertEquals(made, count);
  assertLess(read, count * 4200);
});

Deno.test("[99] more operations than the plain bytes allow are refused", async () => {
  const count = 80_000;
  const streams = { ...farCopies(count, 0), jumps: Array(count).fill(0) };
  await assertRejects(() => apply(streams, randomBytes(9, 100_000), count), CorruptError, "more operations than");
});
