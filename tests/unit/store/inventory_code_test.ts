import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { HeldContent } from "../../../lib/store/held_content.ts";
import { digestOfList, formatInventoryCode } from "../../../lib/store/inventory_code.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";

// Version 40 of a QR code, the largest one, with the lowest error correction.
const QR_BYTES = 2953;

const encode = (text: string) => new TextEncoder().encode(text);
const makeDigests = (count: number): Digest[] =>
  Array.from({ length: count }, (_, i) => computeDigest(`content ${i}`)).sort();
const SHA512: Digest = `sha512:${"a".repeat(128)}`;
const SITE = { node: "gate-2", time: Date.UTC(2026, 10, 28, 8, 4, 31, 250), packages: ["line4@1.0.0"] };

Deno.test("the QR code of a small store has the start of each digest, which is enough for a delta", () => {
  const digests = [...makeDigests(200), SHA512];
  const text = formatInventoryCode({ ...SITE, digests });
  const { prefixes, ...rest } = JSON.parse(text);
  const list = digestOfList(digests);
  const { node, packages } = SITE;
  assertEquals(rest, { node, time: "2026-11-28T08:04:31Z", count: 201, list, packages });
  assertEquals(prefixes.length, 200 * 8);
  const held = new HeldContent();
  held.addInventory(encode(text), "the code");
  assertEquals(digests.filter((digest) => !held.has(digest)), [SHA512]);
  assertEquals(held.has(computeDigest("other")), false);
});

Deno.test("digestOfList() is the digest of the sorted list, as sha256sum computes it", () => {
  const [a, b] = makeDigests(2) as [Digest, Digest];
  assertEquals(digestOfList([b, a]), computeDigest(`${a}\n${b}\n`));
});

for (
  const [name, count, packages, expected] of [
    ["an empty store", 0, [], { packages: 0, more: undefined, hasPrefixes: true }],
    ["a store whose digests do not fit", 300, ["line4@1.0.0"], { packages: 1, more: undefined, hasPrefixes: false }],
    [
      "500 packages",
      100_000,
      Array.from({ length: 500 }, (_, i) => `package-${i}@1.0.0`),
      { packages: 49, more: 451, hasPrefixes: false },
    ],
    ["a package with a name that is too long", 1, ["ü".repeat(600)], { packages: 0, more: 1, hasPrefixes: true }],
  ] as const
) {
  Deno.test(`the text about ${name} fits into a QR code`, () => {
    const text = formatInventoryCode({ ...SITE, packages, digests: makeDigests(count) });
    assert(encode(text).length <= QR_BYTES, `${encode(text).length} bytes`);
    const found = JSON.parse(text);
    assertEquals([found.packages.length, found.more, found.count], [expected.packages, expected.more, count]);
    assertEquals("prefixes" in found, expected.hasPrefixes);
  });
}

Deno.test("what a site has is collected from inventories and codes together", () => {
  const [first, second, third, fourth] = makeDigests(4) as [Digest, Digest, Digest, Digest];
  const held = new HeldContent();
  held.add([first]);
  held.addInventory(encode(JSON.stringify({ digests: [second] })), "have.json");
  held.addInventory(encode(formatInventoryCode({ ...SITE, digests: [third] })), "code.json");
  assertEquals([first, second, third, fourth].map((digest) => held.has(digest)), [true, true, true, false]);
});

for (
  const [name, text] of [
    ["a code that was cut", formatInventoryCode({ ...SITE, digests: makeDigests(3) }).replace(/.{4}"\}$/, '"}')],
    ["a code in another alphabet", '{"prefixes":"++++++++"}'],
    ["a code without digests", '{"node":"gate-2","count":1000}'],
    ["half a document", '{"prefixes":"'],
    ["markup", "<img src=x onerror=alert(1)>"],
    ["nothing", ""],
  ] as const
) {
  Deno.test(`${name} is no inventory`, () => {
    assertThrows(() => new HeldContent().addInventory(encode(text), "it"), CorruptError, "it");
  });
}
