import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { DigestList } from "../../../lib/store/digest_list.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

// Neighbours that differ in their last or first digit, both ends of the range, and both algorithms.
const SHA512: readonly Digest[] = ["a", "b"].map((text) => computeDigest(text, "sha512"));
const SHA256: readonly Digest[] = [
  ...[0, 1, 2].map((digit) => `sha256:${"0".repeat(63)}${digit}` as const),
  ...["8", "7"].map((digit) => `sha256:${digit}${"f".repeat(63)}` as const),
  `sha256:${"f".repeat(64)}`,
  ...Array.from({ length: 5000 }, (_, i) => computeDigest(`${i}`)),
];

for (const count of [0, 1, 2, 3, 4095, 4096, 4097, SHA256.length]) {
  Deno.test(`DigestList.unmarked() yields those of ${count} digests that were not marked`, () => {
    const listed = [...SHA256.slice(0, count).sort(), ...SHA512];
    for (const isMarked of [() => true, () => false, (i: number) => i % 3 === 0, (i: number) => i === count - 1]) {
      const list = new DigestList();
      for (const digest of listed) list.add(digest);
      // Marks of digests that are not in the list have no effect.
      for (const digest of [...SHA256.slice(count), computeDigest("other", "sha512")]) list.mark(digest);
      for (const digest of listed.filter((_, i) => isMarked(i)).reverse()) list.mark(digest);
      assertEquals([...list.unmarked()], listed.filter((_, i) => !isMarked(i)));
    }
  });
}

for (
  const [what, digests] of [["twice", [SHA256[1]!, SHA256[1]!]], ["out of order", [SHA256[2]!, SHA256[1]!]]] as const
) {
  Deno.test(`DigestList.add() refuses digests that are added ${what}`, () => {
    const list = new DigestList();
    list.add(digests[0]!);
    assertThrows(() => list.add(digests[1]!), Error, "it comes after");
  });
}
