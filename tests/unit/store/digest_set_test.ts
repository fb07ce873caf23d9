import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { DigestSet } from "../../../lib/store/digest_set.ts";
import { assertEquals } from "../../support/assert.ts";

// More than the first slots, with both algorithms and the digests at the ends of the range.
const DIGESTS: readonly Digest[] = [
  `sha256:${"0".repeat(64)}`,
  `sha256:${"f".repeat(64)}`,
  `sha512:${"0123456789abcdef".repeat(8)}`,
  ...Array.from({ length: 5000 }, (_, i) => computeDigest(`${i}`, i % 100 === 0 ? "sha512" : "sha256")),
];

Deno.test("DigestSet.has() is true for exactly the digests that were added", () => {
  const set = new DigestSet();
  const [added, others] = [DIGESTS.slice(0, 3000), DIGESTS.slice(3000)];
  for (const digest of [...added, ...added]) set.add(digest);
  assertEquals(set.size, added.length);
  assertEquals(added.filter((digest) => !set.has(digest)), []);
  assertEquals(others.filter((digest) => set.has(digest)), []);
});
