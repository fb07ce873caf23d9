import { PagedBytes } from "../../../lib/delta/paged_bytes.ts";
import { findSimilar } from "../../../lib/delta/similar_bytes.ts";
import { assertEquals } from "../../support/assert.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";

// A gap between two copies: which bytes at its ends are written as differences from the old bytes around the copies.

const encoder = new TextEncoder();
const bytesOf = (text: string) => new PagedBytes(memoryScratch(encoder.encode(text)), 1 << 20);

/** Old bytes behind the copy before and before the copy behind; the gap; how many bytes are similar at each end. */
const CASES: readonly [what: string, before: string, behind: string, gap: string, similar: [number, number]][] = [
  ["nothing in common", "aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "xxxxxxxxxxxxxxxxxxxx", [0, 0]],
  ["no bytes", "", "", "", [0, 0]],
  ["all like those before", "abcdefghijklmnopqrst", "....................", "abcdeXghijkXmnopqrst", [20, 0]],
  ["all like those behind", "....................", "abcdefghijklmnopqrst", "abcdeXghijkXmnopqrst", [0, 20]],
  ["too few in common", "abcdefg.............", "....................", "abcdefgXXXXXXXXXXXXX", [0, 0]],
  ["just enough in common", "abcdefgh............", "....................", "abcdefghXXXXXXXXXXXX", [8, 0]],
  [
    "the start like those before, the end like those behind",
    "abcdefghi.jkl......",
    ".......mnopqrstuvwx",
    "abcdefghiXXmnopqrstuvwx",
    [
      9,
      12,
    ],
  ],
  ["old bytes that end early", "abcdefghij", "uvwxyz", "abcdefghijklmnopqrstuvwxyz", [10, 0]],
];

for (const [what, before, behind, gap, [forward, backward]] of CASES) {
  Deno.test(`similar bytes: ${what}`, () => {
    const found = findSimilar(
      encoder.encode(gap),
      { bytes: bytesOf(before), position: 0, limit: before.length },
      { bytes: bytesOf(behind), position: behind.length, limit: 0 },
    );
    assertEquals(found, { forward, backward });
  });
}

Deno.test("similar bytes: where both sides are like the gap, each byte belongs to one side", () => {
  const gap = encoder.encode("abcdefghijklmnopqrstuvwxyz");
  const before = { bytes: bytesOf("abcdefghijklmnopqr......z."), position: 0, limit: 26 };
  const behind = { bytes: bytesOf(".....fghijklmnopqrstuvwxyz"), position: 26, limit: 0 };
  const { forward, backward } = findSimilar(gap, before, behind);
  assertEquals(forward + backward, gap.length);
  assertEquals(findSimilar(gap, undefined, behind), { forward: 0, backward: 21 });
});
