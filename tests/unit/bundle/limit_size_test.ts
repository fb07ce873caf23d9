import { limitSize } from "../../../lib/bundle/pack_deltas.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assertEquals } from "../../support/assert.ts";

const CASES: readonly [what: string, sizes: number[], limit: number, kept: number[]][] = [
  ["layers that fit", [3, 4], 7, [3, 4]],
  ["none of no layers", [], 7, []],
  ["the layers behind one that is too large", [9, 3, 4], 7, [3, 4]],
  ["what fits beside the layers before", [4, 4, 3, 1], 7, [4, 3]],
  ["everything without a limit", [9, 9], Infinity, [9, 9]],
];
for (const [what, sizes, limit, kept] of CASES) {
  Deno.test(`limitSize() keeps ${what}`, () => {
    const layers = sizes.map((size, i) => ({ mediaType: "a/b", digest: computeDigest(`${i}`), size }));
    assertEquals(limitSize(layers, limit).map(({ size }) => size), kept);
  });
}
